"""Azure: templates evaluated here, and (to come) deployed from Airflow."""
