"""Start, stop and look at the whole local stack."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from millrace.environment import load_environment
from millrace.home import Home
from millrace.stack import process
from millrace.stack.airflow import prepare_airflow, start_airflow, stop_airflow
from millrace.stack.azurite import AZURITE, start_azurite
from millrace.stack.containers import ensure_container
from millrace.stack.file_lock import exclusive
from millrace.stack.kafka import KAFKA, REPLICA, start_kafka
from millrace.stack.process_record import ProcessRecord, load_records
from millrace.stack.spark_classes import ensure_spark

__all__ = ["ProcessStatus", "down", "status", "up"]


@dataclass(frozen=True)
class ProcessStatus:
    """One process of the stack. `pid` and `uptime` are None unless it is running."""

    name: str
    state: Literal["running", "crashed"]
    pid: int | None
    endpoint: str
    uptime: timedelta | None


def up(home: Home | None = None, *, airflow: bool = True) -> list[str]:
    """Bring the stack up and wait until every part answers; what was done, empty where all was up already.

    `airflow=False` leaves Airflow out, for who needs only Kafka and the lake. Raises MillraceError where a part
    does not come up; the others are left running, so `up` can be repeated.
    """
    home = home or Home.current()
    with exclusive(home.root / "stack.lock"):
        done = _all_of(
            (lambda: prepare_airflow(home) if airflow else None, ""),
            (lambda: start_kafka(home), f"{KAFKA} started"),
            (lambda: start_azurite(home), f"{AZURITE} started"),
            (lambda: ensure_spark(home), "Spark prepared"),
        )
        environment = load_environment("local", home=home)
        if ensure_container(environment):
            done.append(f"container {environment.storage.container} created")
        if airflow:
            done += [f"{name} started" for name in start_airflow(home, environment)]
        return done


def down(home: Home | None = None) -> list[str]:
    """End every recorded process and all that it started; the names of those that lived.

    Brokers and Azurite end last, so that whoever writes to them can finish.
    """
    home = home or Home.current()
    if not home.run.exists():
        return []
    with exclusive(home.root / "stack.lock"):
        return stop_airflow(home) + process.stop_all(home, last=(KAFKA, REPLICA, AZURITE))


def status(home: Home | None = None) -> list[ProcessStatus]:
    """Every process that was started and not stopped, oldest first."""
    return [_status(record) for record in load_records(home or Home.current())]


def _status(record: ProcessRecord) -> ProcessStatus:
    if not record.is_running:
        return ProcessStatus(record.name, "crashed", None, record.endpoint, None)
    uptime = datetime.now(UTC) - datetime.fromtimestamp(record.created, UTC)
    return ProcessStatus(record.name, "running", record.pid, record.endpoint, uptime)


def _all_of(*steps: tuple[Callable[[], bool | None], str]) -> list[str]:
    """Run all steps at once; the texts of those that changed something. The first error is raised after all ended."""
    with ThreadPoolExecutor(len(steps)) as pool:
        started = [(pool.submit(step), text) for step, text in steps]
    return [text for future, text in started if future.result()]
