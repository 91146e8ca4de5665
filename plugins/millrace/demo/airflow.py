"""Airflow first: Kafka and Azurite come up later, by the DAG `provision`."""

from __future__ import annotations

import threading

from millrace.environment import load_environment
from millrace.home import Home
from millrace.stack.airflow import start_airflow
from millrace.stack.azurite import prepare_azurite
from millrace.stack.file_lock import exclusive
from millrace.stack.kafka import prepare_kafka

__all__ = ["AirflowStart"]


class AirflowStart(threading.Thread):
    """Starts Airflow in the background. A thread of its own: Ctrl-C must not fall between a start and its record."""

    def __init__(self, home: Home) -> None:
        super().__init__(name="airflow-start")
        self._home = home
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with exclusive(self._home.root / "stack.lock"):
                prepare_kafka(self._home)  # their addresses are settled before they run: Airflow's connections
                prepare_azurite(self._home)
                start_airflow(self._home, load_environment("local", home=self._home))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self.error = error

    def wait(self) -> None:
        """Return when Airflow is healthy; raises what went wrong otherwise."""
        self.join()
        if self.error is not None:
            raise self.error
