"""The local stack: Kafka, Azurite and Airflow as processes of this machine, on loopback, below one data folder."""
