"""The Airflow DAG `teardown`: the end of an environment. Airflow itself goes on.

`local`: stops the streams, then Kafka and Azurite. The data stays, unless you set `delete_data` and write
`delete everything` into `confirmation`.

`azure`: works on what `provision` made with this prefix and size. First the streams stop whose lake lies there: of the
environments in infra/environments whose `lake.account` is there, whichever Airflow's own is. Then with `clusters` it
deletes HDInsight's clusters, which cost as long as they exist; the lake stays, and `provision` makes them again. With
`delete_data` and the confirmation it deletes the resource groups that bear the environment's tag, and all in them:
clusters, lake, secrets.
"""

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from millrace.builders import azure, azure_form
from millrace.operators.azure_delete import CONFIRMATION
from millrace.tasks import local_stack

PARAMS = (
    azure_form.platform_params()
    | azure_form.teardown_params()
    | {
        "delete_data": Param(False, type="boolean", title="Delete data", description="All events and the whole lake."),
        "confirmation": Param("", type="string", title="Confirmation", description=f"Write: {CONFIRMATION}"),
    }
)

with DAG(
    "teardown", schedule=None, max_active_runs=1, tags=["millrace", "local", "azure"], params=PARAMS, doc_md=__doc__
):

    @task.branch
    def platform() -> str:
        params: Any = get_current_context()["params"]
        return azure.STOPPED if params["platform"] == "azure" else "check"

    @task
    def check() -> None:
        params: Any = get_current_context()["params"]
        if params["delete_data"] and params["confirmation"] != CONFIRMATION:
            raise AirflowFailException(
                f"confirmation is {params['confirmation']!r}; deleting all data needs {CONFIRMATION!r}; "
                "write it, or leave delete_data off"
            )

    @task.short_circuit
    def is_deletion() -> bool:
        return bool(get_current_context()["params"]["delete_data"])

    @task
    def streams() -> list[str]:
        ti: Any = get_current_context()["ti"]
        return local_stack.stop_streams(lambda dag_id: ti.get_dr_count(dag_id, states=["running"]))

    stack = task(task_id="stack")(local_stack.stop_stack)()
    data = task(task_id="data")(local_stack.delete_data)()
    checked = check()
    platform() >> [checked, azure.teardown()]
    checked >> streams() >> stack >> is_deletion() >> data
