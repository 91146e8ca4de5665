"""The lake from Airflow's side: small files through azure-storage-blob, tables through delta-rs. No Spark."""
