"""Azure: templates evaluated here, and deployed from Airflow."""
