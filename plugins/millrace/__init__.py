"""Millrace on the Airflow side: platforms, operators, DAG builders, the local stack and the command line."""
