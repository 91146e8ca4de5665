"""The Airflow DAG `provision`: brings up what the local platform needs. Running it again changes nothing."""

from airflow.sdk import DAG, task

from millrace.tasks import local_stack

with DAG("provision", schedule=None, max_active_runs=1, tags=["millrace", "local"], doc_md=__doc__):
    kafka = task(task_id="kafka")(local_stack.start_kafka)()
    azurite = task(task_id="azurite")(local_stack.start_azurite)()
    jars = task(task_id="jars")(local_stack.fetch_spark_jars)()
    topics = task(task_id="topics")(local_stack.create_topics)()
    container = task(task_id="container")(local_stack.create_container)("millrace_lake")
    healthy = task(task_id="healthy")(local_stack.verify)()

    [kafka, azurite] >> topics  # an environment is complete when both have their address
    [kafka, azurite] >> container
    [topics, container, jars] >> healthy
