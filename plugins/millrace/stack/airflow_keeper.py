"""Starts those of Airflow's processes again that died: a process of its own, which `millrace up` starts beside them.

On SQLite the scheduler may end with an error of its database, and then nothing is scheduled until somebody notices.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType

from millrace.home import Home
from millrace.stack import process
from millrace.stack.airflow import AIRFLOW_PROCESSES, start_process
from millrace.stack.process_record import ProcessRecord, load_record
from millrace.stack.restarts import Restart, record_restart
from millrace.supervision.driver_log import LOG_LINES, error_line
from millrace.supervision.restart_policy import RestartPolicy

__all__ = ["AirflowKeeper", "main"]

_log = logging.getLogger(__name__)
_POLL = timedelta(seconds=1)

Start = Callable[[Home, str], ProcessRecord]


@dataclass
class _Kept:
    """What is known of one process: how many of it in a row died soon, and when the next one is due."""

    failures: int = 0
    due: datetime | None = None
    given_up: int | None = None
    """The process id of the one after which no other is started."""
    own: set[int] = field(default_factory=set)
    """The process ids that the keeper started: one that somebody else started begins without failures."""


class AirflowKeeper:
    """Keeps the processes `names` of the stack below `home`. One that was stopped, and so has no record, stays away.

    `policy` says how long each restart waits and when a process is given up, as for the streams.
    """

    def __init__(
        self,
        home: Home,
        names: Iterable[str] = AIRFLOW_PROCESSES,
        start: Start = start_process,
        policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self._home = home
        self._start = start
        self._policy = policy
        self._kept = {name: _Kept() for name in names}

    def look(self, now: datetime) -> None:
        """Start what has died and is due at `now`, and note on disk what was done; to be called again and again."""
        for name, kept in self._kept.items():
            record = load_record(self._home, name)
            if record is None or record.is_running:
                kept.due = None
            elif kept.due is None and kept.given_up != record.pid:
                self._plan(kept, record, now)
            elif kept.due is not None and now >= kept.due:
                self._bring_back(name, kept)

    def _plan(self, kept: _Kept, record: ProcessRecord, now: datetime) -> None:
        lived = now - datetime.fromtimestamp(record.created, UTC)
        was_well = lived >= self._policy.stable_after or record.pid not in kept.own
        kept.failures = 1 if was_well else kept.failures + 1
        if kept.failures >= self._policy.max_quick_failures:
            kept.given_up = record.pid
        else:
            kept.due = now + self._policy.delay(kept.failures)
        self._note(Restart(record.name, now, self._last_error(record.name), kept.failures, kept.due))

    def _bring_back(self, name: str, kept: _Kept) -> None:
        kept.due = None
        record = self._start(self._home, name)
        kept.own.add(record.pid)
        _log.info("%s: started again as process %d", name, record.pid)

    def _note(self, restart: Restart) -> None:
        record_restart(self._home, restart)
        _log.warning("%s", restart.line())

    def _last_error(self, name: str) -> str:
        lines = process.log_file(self._home, name).read_text(encoding="utf-8", errors="replace").splitlines()
        return error_line(lines[-LOG_LINES:])


def main() -> None:
    """Keep Airflow until SIGTERM. What is being started then is recorded first, so that it can be stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    keeper = AirflowKeeper(Home.current())
    while not ended.wait(_POLL.total_seconds()):
        keeper.look(datetime.now(UTC))


if __name__ == "__main__":
    main()
