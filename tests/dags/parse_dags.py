"""Parse the DAG files as Airflow does, in a process of its own, and tell as JSON what they hold and what they did."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# What a file's own time does not contain: Airflow has these loaded before it parses anything.
import airflow.sdk
import airflow.triggers.base  # noqa: F401
from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
SUSPICIOUS = ("socket.connect", "socket.bind", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.mkdir", "os.remove")
seen: list[str] = []
is_watching = False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if not is_watching:
        return
    if event in SUSPICIOUS:
        seen.append(f"{event} {arguments}")
    if event == "open" and is_write(arguments) and "__pycache__" not in str(arguments[0]):
        seen.append(f"{event} {arguments}")


def is_write(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def main() -> None:
    global is_watching
    sys.addaudithook(watch)
    found = {}
    for file in sorted(DAGS.glob("*.py")):
        is_watching = True
        bag = DagBag(file)
        is_watching = False
        found[file.name] = {
            "errors": bag.import_errors,
            "seconds": sum(stat.duration.total_seconds() for stat in bag.dagbag_stats),
            "dags": {dag_id: describe(dag) for dag_id, dag in bag.dags.items()},
        }
    heavy = ("pyspark", "py4j", "azure", "deltalake", "pyarrow", "confluent_kafka", "pandas")
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(heavy))
    json.dump({"files": found, "heavy": loaded, "seen": seen}, sys.stdout)


def describe(dag: object) -> dict[str, object]:
    return {
        "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
        "teardowns": [task.task_id for task in dag.tasks if task.is_teardown],
        "schedule": dag.schedule if isinstance(dag.schedule, str | None) else dag.timetable.expression,
        "timetable": type(dag.timetable).__name__,
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "params": {name: dag.params.get_param(name).schema | {"default": dag.params[name]} for name in dag.params},
        "doc": dag.doc_md,
    }


if __name__ == "__main__":
    main()
