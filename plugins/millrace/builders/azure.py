"""The parts of the DAGs `provision` and `teardown` that work on Azure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from millrace.operators.approval import Approval
from millrace.operators.azure_delete import DeleteEnvironmentOperator, require_choice
from millrace.operators.azure_delete_clusters import DeleteClustersOperator
from millrace.operators.azure_deploy import DeployTemplateOperator, PreviewDeploymentOperator
from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.check_brokers import CheckBrokersOperator
from millrace.tasks.azure import (
    advertise,
    are_connected,
    are_names_needed,
    check_event_hubs,
    declare,
    name_records,
    tell,
)
from millrace.tasks.azure_streams import stop_streams

__all__ = ["PROVISIONED", "STOPPED", "provision", "teardown"]

CONN_ID = "azure_default"
CLUSTERS_CONN_ID = "azure_clusters"
"""The connection whose password the clusters' gateways get."""

PROVISIONED, STOPPED = "azure.declared", "stop_streams"
"""The tasks with which the Azure part of `provision` begins, and that of `teardown`."""

_PREVIEWED = "{{ ti.xcom_pull(task_ids='azure.preview')['text'] }}"
_WHAT = "{{ params.layout }}, {{ params.size }}, in {{ params.region }}"
_PEERED_WITHIN = timedelta(minutes=30)
_PAUSE = timedelta(seconds=30)
"""Before Azure, or a cluster, is asked again."""
_WHOSE = {"prefix": "{{ params.prefix or '' }}", "size": "{{ params.size }}"}
_ENVIRONMENT = "{{ params.environment or params.layout }}"


@task_group(group_id="azure")
def provision() -> None:
    """Declared, shown, approved, deployed, connected, with its topics, and proven to be reached by Spark."""
    parameters = declared()
    told: dict[str, Any] = {
        "stem": "millrace-{{ params.prefix }}-{{ params.size }}",
        "location": "{{ params.region }}",
        "size": "{{ params.size }}",
        "parameters": parameters,
        "secrets": {"clusterPassword": CLUSTERS_CONN_ID},
        "azure_conn_id": CONN_ID,
    }
    preview = PreviewDeploymentOperator(task_id="preview", environment=_ENVIRONMENT, **told)
    approved = Approval(task_id="approve", subject=f"Deploy to Azure: {_WHAT}?", body=_PREVIEWED)
    deploy = DeployTemplateOperator(task_id="deploy", **told)
    preview >> is_real() >> approved >> deploy
    told_endpoints, known = endpoints(deploy.output), records(deploy.output, parameters)
    named = DeployTemplateOperator(task_id="named", **told | {"parameters": known})
    # What skips comes after the peering: beside it, it would let those go on that pass over what is skipped.
    peered(deploy.output) >> known >> named >> advertised(deploy.output) >> told_endpoints
    reached = CheckBrokersOperator(task_id="reached", environment=_ENVIRONMENT, told=told_endpoints)
    topics(deploy.output, told_endpoints) >> reached


@task(retries=0)
def declared() -> dict[str, Any]:
    context: Any = get_current_context()
    with as_airflow_errors():
        return declare(context["params"], context["dag_run"].run_after or datetime.now(UTC))


@task.short_circuit(retries=0)
def is_real() -> bool:
    return not _params()["dry_run"]


@task.sensor(poke_interval=15, timeout=_PEERED_WITHIN.total_seconds(), mode="reschedule", retries=3, retry_delay=_PAUSE)
def peered(outputs: Any) -> bool:
    from millrace.azure.environments import Environments
    from millrace.azure.hook import ResourceManagerHook

    with as_airflow_errors():
        return are_connected(outputs.get("peerings") or [], Environments(ResourceManagerHook(CONN_ID)))


@task(retries=3, retry_delay=_PAUSE)
def records(outputs: Any, parameters: Any) -> dict[str, Any]:
    if not are_names_needed(_params(), outputs):
        raise AirflowSkipException("no network has to be told the brokers' names")
    with as_airflow_errors():
        return {**parameters, **name_records(outputs, CLUSTERS_CONN_ID)}


@task(retries=3, retry_delay=_PAUSE, trigger_rule="none_failed_min_one_success")
def advertised(outputs: Any) -> list[str]:
    params = _params()
    if not _are_apart(params, outputs):
        raise AirflowSkipException("Spark resolves the brokers' names: it is in their network, or they are Event Hubs")
    with as_airflow_errors():
        return advertise(outputs, _name(params), CLUSTERS_CONN_ID, by_address=params["brokers"] == "addresses")


@task(retries=3, retry_delay=_PAUSE, trigger_rule="none_failed_min_one_success")
def endpoints(outputs: Any) -> dict[str, dict[str, str]]:
    params = _params()
    by_address = _are_apart(params, outputs) and params["brokers"] == "addresses"
    with as_airflow_errors():
        return tell(outputs, _name(params), CLUSTERS_CONN_ID, by_address=by_address)


@task(retries=1, retry_delay=_PAUSE)
def topics(outputs: Any, told: Any) -> dict[str, str]:
    """On a Kafka cluster they are made here; on Event Hubs the deployment has made them, whose login may not."""
    from millrace.azure.environments import Environments
    from millrace.azure.hook import ResourceManagerHook
    from millrace.declared_topics import declared_topics
    from millrace.supervision.connection import environment_for_task
    from millrace.tasks.topics import make_topics

    if "eventHubs" not in outputs:  # a Kafka that does not answer yet may at the next try: that is no error of Azure's
        return make_topics(environment_for_task(_name(_params()), told), declared_topics())
    with as_airflow_errors():
        hook = ResourceManagerHook(CONN_ID)
        return check_event_hubs(outputs, hook.subscription_id, Environments(hook))


def _params() -> Any:
    context: Any = get_current_context()
    return context["params"]


def _name(params: Any) -> str:
    """The environment's, as its file is called."""
    return str(params["environment"] or params["layout"])


def _are_apart(params: Any, outputs: Any) -> bool:
    """Whether Spark is in another network than Kafka's cluster, which does not resolve the brokers' names."""
    return params["layout"] == "databricks" and "kafkaGateway" in outputs


def teardown() -> Any:
    """What the form chooses is deleted, after the streams that live by it have stopped; the first of the tasks."""
    told: dict[str, Any] = {**_WHOSE, "confirmation": "{{ params.confirmation }}", "azure_conn_id": CONN_ID}
    stopped = stop()
    (
        stopped
        >> chosen()
        >> [
            DeleteEnvironmentOperator(task_id="delete_environment", **told),
            DeleteClustersOperator(task_id="delete_clusters", kinds="{{ params.clusters }}", **told),
        ]
    )
    return stopped


@task(task_id=STOPPED, retries=0)
def stop() -> list[str]:
    from millrace.azure.environments import Environments, tag_value
    from millrace.azure.hook import ResourceManagerHook

    context: Any = get_current_context()
    params = context["params"]
    with as_airflow_errors():
        require_choice(params)
        tagged = tag_value(params["prefix"] or "", params["size"])
        if not params["stop_streams"]:
            return []
        azure, count = Environments(ResourceManagerHook(CONN_ID)), context["ti"].get_dr_count
        return stop_streams(tagged, azure, lambda dag_id: count(dag_id, states=["running"]))


@task.branch(retries=0)
def chosen() -> str:
    return "delete_environment" if _params()["delete_data"] else "delete_clusters"
