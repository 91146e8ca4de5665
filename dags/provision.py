"""The Airflow DAG `provision`: brings up what a platform needs. Running it again changes nothing.

`local`: Kafka, Azurite, the jars, topics and a container on this machine.

`azure`: the templates in infra/arm, by the connection `azure_default`; the password of the connection `azure_clusters`
becomes that of the clusters' gateways.

1. **preview** validates, and logs what Azure foresees and what it costs by the hour. A dry run ends here.
2. **approve**: somebody approves or rejects, under *Required actions*; with `approve` nobody is asked.
3. **deploy** logs each resource's progress. When it fails, it says which resource, and why: correct the cause and clear
   it, or run the DAG again. Either goes on with a deployment that runs, and leaves alone what is there.
4. **peered** waits until peered networks read `Connected` on both sides.
5. **records** and **named**: where *Brokers* reads `names`, and Spark is in a peered network or `brokerNetworks` names
   others, the same deployment again with a private DNS zone of the names that Ambari tells. Clusters are left alone.
6. **advertised**: where Spark is in a peered network, Kafka's brokers advertise their addresses, or with `names` their
   names; each that does not yet is restarted, one after the other, each when all replicas have caught up. It returns
   them as `<address>:<port>`.
7. **endpoints** tells what the environment's file (infra/environments) says of this deployment. What the file leaves
   empty is taken from here by the next two.
8. **topics** makes the declared topics on the Kafka cluster, from where Airflow's worker runs; Event Hubs has them from
   the deployment.
9. **reached** runs a small Spark job, which fails unless its driver and its executors reach every broker by the name
   that it advertises.
"""

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from millrace.builders import azure, azure_form
from millrace.tasks import local_stack

PARAMS = azure_form.platform_params() | azure_form.template_params()

with DAG(
    "provision", schedule=None, max_active_runs=1, tags=["millrace", "local", "azure"], params=PARAMS, doc_md=__doc__
):

    @task.branch
    def platform() -> list[str]:
        params: Any = get_current_context()["params"]
        if params["platform"] == "azure":
            return [azure.PROVISIONED]
        return [] if params["dry_run"] else ["kafka", "azurite", "jars"]

    kafka = task(task_id="kafka")(local_stack.start_kafka)()
    azurite = task(task_id="azurite")(local_stack.start_azurite)()
    jars = task(task_id="jars")(local_stack.fetch_spark_jars)()
    topics = task(task_id="topics")(local_stack.create_topics)()
    container = task(task_id="container")(local_stack.create_container)("millrace_lake")
    healthy = task(task_id="healthy")(local_stack.verify)()

    platform() >> [kafka, azurite, jars, azure.provision()]
    [kafka, azurite] >> topics  # an environment is complete when both have their address
    [kafka, azurite] >> container
    [topics, container, jars] >> healthy
