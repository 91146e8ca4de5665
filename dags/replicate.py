"""The Airflow DAGs `replicate` and `check_replica`: Kafka's topics on a second cluster, and the proof that all are."""

from millrace.builders import check_replica, replicate

replicate()
check_replica()
