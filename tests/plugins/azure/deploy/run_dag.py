"""Runs a file's DAG once, in this process, and prints its tasks' states and results as JSON: `run_dag.py FILE CONF`."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from airflow.dag_processing.dagbag import DagBag

if __name__ == "__main__":
    file, conf = sys.argv[1:]
    (dag,) = DagBag(file).dags.values()
    for task in dag.tasks:
        task.retries = 0
        if hasattr(task, "poll"):
            task.poll = timedelta(milliseconds=50)
    run = dag.test(run_conf=json.loads(conf))
    told: dict[str, Any] = {"state": str(run.state), "states": {}, "returned": {}}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        told["states"][name] = str(ti.state)
        told["returned"][name] = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
    print(f"@{json.dumps(told, default=str)}", flush=True)
