"""Ending everything that runs on this machine: Airflow first, so that nothing starts again, the streams gracefully."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from jobs.errors import MillraceError
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.stack.airflow import stop_airflow
from millrace.stack.lifecycle import down

__all__ = ["stop_everything"]


def stop_everything(home: Home, reason: str, grace: timedelta = timedelta(seconds=30)) -> list[str]:
    """End Airflow, every Spark job, replication, Kafka and Azurite; what happened, in words, empty where nothing ran.

    Streams finish their micro-batch within `grace`; what does not is cancelled. Airflow's own runs stay as they are in
    its database, so the streams start again together with Airflow. Works after a crash of any part, and twice.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        airflow = pool.submit(stop_airflow, home)
        jobs = pool.submit(_stop_jobs, home, reason, grace)
        done = [*jobs.result(), *(f"{name}: stopped" for name in airflow.result())]
    done += _stop_jobs(home, reason, timedelta(seconds=5))  # what Airflow may have submitted in its last moment
    return done + [f"{name}: stopped" for name in down(home)]


def _stop_jobs(home: Home, reason: str, grace: timedelta) -> list[str]:
    environment = _environment(home)
    if environment is None:
        return []
    from millrace.replication.stop import stop_replication  # here, as below: not needed before the first start
    from millrace.supervision.stop_jobs import stop_jobs

    mirrored = stop_replication(environment, home, reason, stay_stopped=False, grace=grace)
    return mirrored + stop_jobs(environment, reason, stay_stopped=False, grace=grace, home=home)


def _environment(home: Home) -> Environment | None:
    """None before the stack's first start: no job can have been submitted."""
    try:
        return load_environment("local", home=home)
    except MillraceError:
        return None
