"""What Airflow's API tells everybody who may look at a DAG: no secret belongs there."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from millrace.stack.airflow_client import AirflowClient

__all__ = ["kept"]

_MOST = 100  # a page of Airflow's API
_RAN = ("success", "failed", "running", "deferred")


def kept(client: AirflowClient, dag_id: str = "~", run_id: str = "~") -> str:
    """The XComs, the tasks with their rendered fields, and the logs of a run; `~`: of every one."""
    base = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='~')}/taskInstances"
    tasks = _every(client, base, "task_instances")
    xcoms = [_value(client, each) for each in _every(client, f"{base}/~/xcomEntries", "xcom_entries")]
    logs = [_logs(client, each) for each in tasks if each["state"] in _RAN]
    return json.dumps([xcoms, tasks, logs])


def _every(client: AirflowClient, path: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = client.api.get(path, limit=_MOST, offset=len(found))
        found += page[name]
        if len(found) >= page["total_entries"] or not page[name]:
            return found


def _value(client: AirflowClient, xcom: dict[str, Any]) -> Any:
    run, key = quote(xcom["run_id"], safe=""), quote(xcom["key"], safe="")
    path = f"/dags/{xcom['dag_id']}/dagRuns/{run}/taskInstances/{xcom['task_id']}/xcomEntries/{key}"
    return client.api.get(path, map_index=xcom["map_index"])


def _logs(client: AirflowClient, task: dict[str, Any]) -> list[list[str]]:
    of = (task["dag_id"], task["dag_run_id"], task["task_id"])
    return [client.task_log(*of, number, task["map_index"]) for number in range(1, task["try_number"] + 1)]
