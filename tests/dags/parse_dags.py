"""Parse DAG files as Airflow does, each in a fork of its own, and tell as JSON what they hold and what they did.

Arguments: the files. As in Airflow's DAG processor, the parent has Airflow loaded, and nothing of ours.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What a file's own time does not contain: Airflow has these loaded before it parses anything.
import airflow.sdk
import airflow.triggers.base  # noqa: F401
from airflow.dag_processing.dagbag import DagBag

HEAVY = ("pyspark", "py4j", "azure", "deltalake", "pyarrow", "confluent_kafka", "pandas")
FORK = multiprocessing.get_context("fork")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of Python: https://docs.python.org/3/library/audit_events.html
SUSPICIOUS = (
    *("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill", "subprocess.Popen"),
    *("socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"),
    "sqlite3.connect",
)


def main() -> None:
    found = {}
    for file in map(Path, sys.argv[1:]):
        found[file.name] = in_a_fork(parse, file)
        # A second time: what was compiled by the first one is not the file's own time either.
        found[file.name]["cpu_seconds"] = in_a_fork(parse, file)["cpu_seconds"]
    json.dump(found, sys.stdout)


def in_a_fork(function: Callable[[Path], dict[str, Any]], file: Path) -> dict[str, Any]:
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: theirs.send(function(file)))
    process.start()
    theirs.close()  # so that a child that dies is the end of the pipe
    answer: dict[str, Any] = ours.recv()
    process.join()
    return answer


def parse(file: Path) -> dict[str, Any]:
    """`cpu_seconds` are of this process: what else the machine does meanwhile is not counted."""
    seen: list[str] = []
    watch(seen)
    began = time.process_time()
    bag = DagBag(file)
    cpu_seconds, done = time.process_time() - began, list(seen)
    done += [f"thread {thread.name}" for thread in threading.enumerate() if thread is not threading.main_thread()]
    return {
        "errors": bag.import_errors,
        "cpu_seconds": cpu_seconds,
        "dags": {dag_id: describe(dag) for dag_id, dag in bag.dags.items()},
        "heavy": sorted({name.partition(".")[0] for name in sys.modules} & set(HEAVY)),
        "seen": done,
    }


def watch(seen: list[str]) -> None:
    """From now on, what this process does to the world outside is noted."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and arguments[2] & WRITING
        if (is_write or event in SUSPICIOUS) and "__pycache__" not in str(arguments):
            seen.append(f"{event} {arguments}")

    sys.addaudithook(hear)


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
