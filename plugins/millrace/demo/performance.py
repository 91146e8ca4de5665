"""One performance of the demonstration, with the processes that it needs."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
from rich.console import Console

from jobs.errors import MillraceError
from millrace.demo.airflow import AirflowStart
from millrace.demo.dags import Dags
from millrace.demo.picture import Picture, problems
from millrace.demo.play import TITLES, Play
from millrace.demo.render import render
from millrace.demo.screen import show
from millrace.demo.steps import Steps
from millrace.home import Home
from millrace.shutdown import stop_everything
from millrace.stack.airflow import airflow_url, stop_airflow
from millrace.stack.airflow_client import AirflowClient
from millrace.stack.airflow_settings import ADMIN, admin_password
from millrace.stack.jars import ensure_jars
from millrace.stack.node import fetch_azurite
from millrace.stack.spark_classes import ensure_spark

__all__ = ["Performance"]


class Performance:
    """Start with `show`, end with `stop`, whatever happened in between."""

    def __init__(self, home: Home, console: Console) -> None:
        self._home = home
        self._console = console
        self._steps = Steps(TITLES)
        self._airflow = AirflowStart(home)
        self._play: Play | None = None

    @property
    def is_worth_staying(self) -> bool:
        """Whether Airflow is up, so that there is something to look at."""
        return self._play is not None

    def show(self) -> int:
        """Perform, and print the result; 0 where everything held, else 1 with the reasons printed."""
        try:
            self._airflow.start()
            self._steps.begin("downloads")
            self._download()
            self._steps.done("downloads")
            with show(self._steps, self._console):
                picture = self._perform()
        except MillraceError as error:
            self._say(f"error: {error}", "red")
            self._print_address()
            return 1
        return self._print_result(picture)

    def stop(self) -> None:
        """End every process, also when the start is still under way."""
        if self._play is not None:
            self._play.settle()
        while self._airflow.is_alive():
            _end_children()
            stop_airflow(self._home)
            self._airflow.join(0.5)
        _end_children()
        for line in stop_everything(self._home, "the demonstration ends"):
            self._say(line, "dim")
        self._say(f"nothing is left running; the data stays in {self._home.root}", "")

    def _download(self) -> None:
        """What is missing on this machine, with its own progress bars, while Airflow starts."""
        pool = ThreadPoolExecutor(3)
        downloads: list[Future[bool] | Future[Path]] = [
            pool.submit(ensure_spark, self._home),
            pool.submit(ensure_jars, "kafka", self._home),
            pool.submit(fetch_azurite, self._home),
        ]
        try:
            for download in downloads:
                download.result()
        finally:
            pool.shutdown(wait=False)

    def _perform(self) -> Picture:
        try:
            self._steps.begin("airflow")
            self._airflow.wait()
            self._steps.done("airflow", self._address())
            self._play = Play(self._home, self._steps, Dags(AirflowClient.local(self._home)))
            return self._play.perform()
        except BaseException:
            self._steps.fail_running("")
            raise

    def _print_result(self, picture: Picture) -> int:
        self._console.print(render(picture))
        failed = self._play.failed_runs() if self._play else []
        for run in failed:
            self._say(f"DAG run failed: {run}", "bold red")
        self._print_address()
        self._say(self._steps.times(), "")
        return 1 if failed or problems(picture) else 0

    def _print_address(self) -> None:
        if self._play is not None:
            self._say(f"Airflow's UI: {self._address()}", "bold")

    def _address(self) -> str:
        secret = self._home.secrets / "airflow_admin"
        return f"{airflow_url(self._home)}, user {ADMIN}, password {admin_password(self._home)} (kept in {secret})"

    def _say(self, line: str, style: str) -> None:
        self._console.print(line, style=style, markup=False, soft_wrap=True)


def _end_children() -> None:
    """What this process itself runs meanwhile: a download, a migration. Recorded processes have groups of their own."""
    for child in psutil.Process().children():
        try:
            if os.getpgid(child.pid) == os.getpgrp():
                child.terminate()
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
