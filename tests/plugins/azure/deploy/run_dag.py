"""Runs a file's DAG once, in this process, and prints its tasks' states as JSON: `run_dag.py FILE CONF`."""

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
    print(f"@{json.dumps({ti.task_id: str(ti.state) for ti in run.get_task_instances()})}", flush=True)
