"""The Airflow DAG `teardown`: stops the streams, then Kafka and Azurite. Airflow itself goes on.

The data stays, unless you set `delete_data` and write `delete everything` into `confirmation`.
"""

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from millrace.tasks import local_stack

CONFIRMATION = "delete everything"
PARAMS = {
    "delete_data": Param(False, type="boolean", title="Delete data", description="All events and the whole lake."),
    "confirmation": Param("", type="string", title="Confirmation", description=f"Write: {CONFIRMATION}"),
}

with DAG("teardown", schedule=None, max_active_runs=1, tags=["millrace", "local"], params=PARAMS, doc_md=__doc__):

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
    check() >> streams() >> stack >> is_deletion() >> data
