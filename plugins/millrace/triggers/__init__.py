"""Airflow triggers: what waits for Spark jobs while their tasks are deferred."""
