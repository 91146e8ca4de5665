"""Runs of the workspace in tests: each is a process that calls the wheel's entry point, as a cluster does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["RefusedRunError", "RunProcess", "now_ms"]

# What a cluster does with a Python wheel task: the exception that the entry point raises is the run's error.
RUNNER = """
import importlib.metadata, json, sys, traceback
package, name, failure, *parameters = sys.argv[1:]
[entry] = [e for e in importlib.metadata.distribution(package).entry_points if e.name == name]
sys.argv = [name, *parameters]
try:
    entry.load()()
except BaseException as error:
    told = {"error": f"{type(error).__name__}: {error}", "error_trace": traceback.format_exc()}
    open(failure, "w").write(json.dumps(told))
    raise
"""
SECRET = re.compile(r"\{\{secrets/([^/]+)/([^}]+)\}\}")
TERMINATION = {"SUCCESS": "SUCCESS", "RUN_EXECUTION_ERROR": "CLIENT_ERROR", "USER_CANCELED": "SUCCESS"}


class RefusedRunError(Exception):
    """A run that ends before it has a cluster: its termination code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class RunProcess:
    """One run: its states are those of the API, one after another."""

    run_id: int
    name: str
    run_type: str
    task: Mapping[str, Any]
    job_id: int
    folder: Path
    startup_s: float = 0.0
    state: str = "PENDING"
    code: str | None = None
    message: str = ""
    start_time: int = field(default_factory=now_ms)
    setup_ms: int = 0
    end_time: int = 0
    process: subprocess.Popen[bytes] | None = None
    is_cancelled: bool = False

    @property
    def is_live(self) -> bool:
        return self.state != "TERMINATED"

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def failure(self) -> dict[str, str]:
        path = self.folder / "failure.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def start(self, launch: Callable[[RunProcess], tuple[Path, Mapping[str, str]]]) -> None:
        """`launch` gives the wheel and the environment's variables, or raises RefusedRunError."""
        self.folder.mkdir(parents=True)
        threading.Thread(target=self._live, args=(launch,), daemon=True).start()

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.is_live:
            self.state = "TERMINATING"
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            threading.Timer(1, self._kill).start()

    def break_cluster(self) -> None:
        """As when the machine goes down."""
        self.code, self.message = "CLUSTER_ERROR", "The cluster is gone"
        self._kill()

    def _live(self, launch: Callable[[RunProcess], tuple[Path, Mapping[str, str]]]) -> None:
        deadline = time.monotonic() + self.startup_s
        while time.monotonic() < deadline and not self.is_cancelled:
            time.sleep(0.02)
        if not self.is_cancelled:
            try:
                self._run(*launch(self))
            except RefusedRunError as error:
                self.code, self.message = error.code, str(error)
        if self.is_cancelled:
            self.code, self.message = "USER_CANCELED", "Run cancelled."
        self.end_time = now_ms()
        self.state = "TERMINATED"

    def _run(self, wheel: Path, variables: Mapping[str, str]) -> None:
        task = self.task["python_wheel_task"]
        command = [sys.executable, "-c", RUNNER, task["package_name"], task["entry_point"]]
        command += [str(self.folder / "failure.json"), *task.get("parameters", [])]
        environment = {**variables, "PYTHONPATH": str(wheel), "PYTHONUNBUFFERED": "1"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder, process_group=0
            )
        self.setup_ms = now_ms() - self.start_time
        if not self.is_cancelled:
            self.state = "RUNNING"
        else:
            self._kill()
        exit_code = self.process.wait()
        if self.code is None:
            self.code = "SUCCESS" if exit_code == 0 else "RUN_EXECUTION_ERROR"
            self.message = "" if exit_code == 0 else "Workload failed, see run output for details"

    def _kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """At the end of a test."""
        self.is_cancelled = True
        self._kill()

    def as_task(self, with_times: bool = True) -> dict[str, Any]:
        """The run of the task, as the API tells it."""
        task = {key: self.task[key] for key in ("task_key", "python_wheel_task", "new_cluster", "libraries")}
        found = {**task, "run_id": self.run_id + 1, "status": self.status(), "start_time": self.start_time}
        if self.process is not None:
            found["cluster_instance"] = {"cluster_id": f"cluster-{self.run_id}"}
            found["setup_duration"] = self.setup_ms
        return found

    def as_run(self, with_tasks: bool) -> dict[str, Any]:
        """The run, as the API tells it."""
        found = {
            "run_id": self.run_id,
            "job_id": self.job_id,
            "run_name": self.name,
            "run_type": self.run_type,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "status": self.status(),
            "run_page_url": f"https://workspace/#job/{self.job_id}/run/{self.run_id}",
        }
        return found | ({"tasks": [self.as_task()]} if with_tasks else {})

    def status(self) -> dict[str, Any]:
        if self.is_live or self.code is None:
            return {"state": self.state}
        kind = TERMINATION.get(self.code, "CLOUD_FAILURE" if self.code == "CLUSTER_ERROR" else "CLIENT_ERROR")
        return {
            "state": self.state,
            "termination_details": {"code": self.code, "type": kind, "message": self.message},
        }
