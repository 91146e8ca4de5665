"""Runs a file's DAG once, in this process, and prints its tasks' states and results as JSON: `run_dag.py FILE CONF`."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from airflow.dag_processing.dagbag import DagBag

if __name__ == "__main__":
    file, conf = sys.argv[1:]
    (dag,) = DagBag(file).dags.values()
    for task in dag.tasks:
        task.retries = 0
        if hasattr(task, "poll"):
            task.poll = timedelta(milliseconds=50)
    run = dag.test(run_conf=json.loads(conf))
    tasks = {ti.task_id: ti for ti in run.get_task_instances()}
    told = {
        "states": {name: str(ti.state) for name, ti in tasks.items()},
        "returned": {name: ti.xcom_pull(task_ids=name) for name, ti in tasks.items()},
    }
    print(f"@{json.dumps(told, default=str)}", flush=True)
