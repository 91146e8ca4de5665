"""Who keeps a stream's driver alive: a loop of the run's own, or Airflow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from millrace.lake.store import LakeStore
from millrace.stack.airflow_client import AirflowClient
from millrace.supervision.connection import Connection, unanswered
from millrace.supervision.generation import Generation
from millrace.supervision.supervision import Supervision
from tests.faults.streams import Stream

__all__ = ["AirflowKeeper", "Keeper", "LoopKeeper"]


class Keeper(Protocol):
    """`trouble` is the last error of keeping; it may be of a storage that was down on purpose."""

    trouble: str

    def start(self) -> None: ...

    def end(self) -> None:
        """The driver, if any, is left to whoever stops the stack."""
        ...

    def off(self) -> AbstractContextManager[None]:
        """No driver is started within the `with` block."""
        ...


class _Looping:
    """Calls `_keep` every second in a thread, but not while it is off."""

    def __init__(self, stream: Stream) -> None:
        self.trouble = ""
        self._stream = stream
        self._stop = threading.Event()
        self._off = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"keeper of {stream.title}")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def off(self) -> Iterator[None]:
        with self._off:
            yield

    def _run(self) -> None:
        while not self._stop.wait(1):
            try:
                with self._off:
                    self._keep()
            except Exception as error:  # noqa: BLE001 - whatever a client of a storage that is down raises
                self.trouble = repr(error)

    def _keep(self) -> None:
        raise NotImplementedError


class LoopKeeper(_Looping):
    """Starts a driver whenever there is none and the environment answers: Airflow's task, but it never gives up."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._tries = 0

    def _keep(self) -> None:
        stream, environment = self._stream, self._stream.stack.environment
        if stream.platform.find(stream.job_name) is not None or unanswered(environment) is not None:
            return
        self._tries += 1
        connection = Connection(environment, stream.platform, LakeStore(environment))
        supervision = Supervision(stream.job_name, Generation("faults", self._tries), connection)
        supervision.adopt(supervision.start(stream.make_job))


class AirflowKeeper(_Looping):
    """Leaves the stream to its DAG, and is the person who starts it again when its task has given up.

    It gives up after five drivers that ended within ten minutes, which is less than a nemesis takes.
    """

    def __init__(self, stream: Stream, airflow: AirflowClient) -> None:
        super().__init__(stream)
        self._airflow = airflow

    def start(self) -> None:
        self._airflow.await_dag(self._stream.dag)
        self._airflow.unpause(self._stream.dag)
        super().start()

    @contextmanager
    def off(self) -> Iterator[None]:
        with self._off:
            self._airflow.pause(self._stream.dag)
            try:
                yield
            finally:
                self._airflow.unpause(self._stream.dag)

    def _keep(self) -> None:
        states = {str(run["state"]) for run in self._airflow.runs(self._stream.dag)}
        if "failed" in states and not states & {"queued", "running"}:
            self._airflow.trigger(self._stream.dag)
