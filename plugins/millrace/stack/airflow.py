"""Airflow on loopback: API server, scheduler, DAG processor and triggerer, each a process of its own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import chain

import httpx

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.home import Home
from millrace.stack import process
from millrace.stack.airflow_settings import process_environment, write_connections, write_settings
from millrace.stack.process_record import ProcessRecord, load_record
from millrace.stack.settings import LOOPBACK, load_settings, ports_for

__all__ = [
    "AIRFLOW",
    "AIRFLOW_KEEPER",
    "AIRFLOW_PROCESSES",
    "airflow_url",
    "health",
    "prepare_airflow",
    "start_airflow",
    "start_process",
    "stop_airflow",
]

AIRFLOW = "airflow"
AIRFLOW_KEEPER = "airflow-keeper"
# Airflow's own log servers listen on every interface; on one machine the API server reads the files itself.
_COMMANDS = {
    "airflow-api-server": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}
AIRFLOW_PROCESSES = tuple(_COMMANDS)

_COMPONENTS = {
    "scheduler": "airflow-scheduler",
    "triggerer": "airflow-triggerer",
    "dag_processor": "airflow-dag-processor",
}
_STOP_TIMEOUT = timedelta(seconds=10)


def airflow_url(home: Home) -> str:
    """The address of the UI and of the API; raises MillraceError before Airflow's first start."""
    settings = load_settings(home, AIRFLOW)
    if "port" not in settings:
        raise MillraceError(f"Airflow: {home.stack_file} names no port, so it was never started; run `millrace up`")
    return f"http://{LOOPBACK}:{settings['port']}"


def prepare_airflow(home: Home) -> None:
    """Write the settings and make or upgrade the database; nothing happens where a part of Airflow runs.

    It needs no other part of the stack.
    """
    if not any(process.is_running(home, name) for name in AIRFLOW_PROCESSES):
        write_settings(home, ports_for(home, AIRFLOW, ("port",))["port"])
        _migrate_once(home)


def start_airflow(home: Home, environment: Environment) -> list[str]:
    """Start what is not running of the four processes and wait until all are healthy; the names of those started.

    The keeper beside them (`millrace.stack.airflow_keeper`) starts each of them again when it dies.
    """
    missing = [name for name in AIRFLOW_PROCESSES if not process.is_running(home, name)]
    if missing:
        prepare_airflow(home)
        write_connections(home, environment)  # on each start: it follows Azurite's port
        records = [start_process(home, name) for name in missing]
        process.await_ready(
            home, records, lambda: set(health(home).values()) == {"healthy"}, timeout=timedelta(minutes=3)
        )
    if not process.is_running(home, AIRFLOW_KEEPER):
        _start_keeper(home)
        missing.append(AIRFLOW_KEEPER)
    return missing


def stop_airflow(home: Home) -> list[str]:
    """End Airflow's processes and the tasks below them, whatever else is starting; the names of those that lived.

    The keeper ends first, or it would start again what ends.
    """

    def stop(name: str) -> list[str]:
        return [name] if process.stop(home, name, _STOP_TIMEOUT) else []

    stopped = stop(AIRFLOW_KEEPER)
    with ThreadPoolExecutor(max_workers=len(AIRFLOW_PROCESSES)) as pool:
        return stopped + list(chain.from_iterable(pool.map(stop, AIRFLOW_PROCESSES)))


def health(home: Home) -> dict[str, str]:
    """Each component's health: "healthy", "unhealthy", or "unreachable" where the API server does not answer.

    A heartbeat that is older than the running process is its predecessor's: that is "unhealthy" too.
    """
    try:
        told = httpx.get(f"{airflow_url(home)}/api/v2/monitor/health", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):  # no answer, or one that is not from a working API server
        return dict.fromkeys(("metadatabase", *_COMPONENTS), "unreachable")
    components = {key: _component_health(home, key, told.get(key) or {}) for key in _COMPONENTS}
    return {"metadatabase": told["metadatabase"]["status"]} | components


def _component_health(home: Home, key: str, told: dict[str, str | None]) -> str:
    record, heartbeat = load_record(home, _COMPONENTS[key]), told.get(f"latest_{key}_heartbeat")
    if record is None or heartbeat is None or datetime.fromisoformat(heartbeat).timestamp() < record.created:
        return "unhealthy"
    return told.get("status") or "unhealthy"


def start_process(home: Home, name: str) -> ProcessRecord:
    """Start one of `AIRFLOW_PROCESSES` after `prepare_airflow`; one that runs is kept."""
    endpoint = airflow_url(home) if name == "airflow-api-server" else ""
    command = [*_airflow(), *_COMMANDS[name]]
    return process.start(home, name, command, env=process_environment(home), cwd=home.airflow, endpoint=endpoint)


def _start_keeper(home: Home) -> None:
    command = [sys.executable, "-m", "millrace.stack.airflow_keeper"]
    env = {"MILLRACE_HOME": str(home.root), "MILLRACE_DOWNLOADS": str(home.downloads)}
    process.start(home, AIRFLOW_KEEPER, command, env=env)


def _airflow() -> list[str]:
    return [sys.executable, "-m", "airflow"]


def _migrate_once(home: Home) -> None:
    stamp = home.airflow / "migrated"
    current = version("apache-airflow")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == current:
        return
    done = subprocess.run(
        [*_airflow(), "db", "migrate"],
        env=process.environment_with(process_environment(home)),
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise MillraceError(
            f"Airflow: `airflow db migrate` for {home.airflow / 'airflow.db'} ended with code {done.returncode}; "
            f"a database of a newer Airflow cannot be used by {current}. It ended with:\n{tail}"
        )
    stamp.write_text(current, encoding="utf-8")
