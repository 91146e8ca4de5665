"""Airflow operators for Spark jobs: deferrable, so that no job holds a worker slot."""
