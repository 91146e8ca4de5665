"""From the first process to the last: perform, show, stay, stop."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from jobs.errors import MillraceError
from millrace.demo.performance import Performance
from millrace.home import Home
from millrace.interrupt import interruptible, uninterruptible

__all__ = ["run"]

_INTERRUPTED = 130


def run(*, exit_when_done: bool) -> int:
    """The exit code: 0 where everything held, 1 where something did not, 130 on Ctrl-C before the end."""
    home, console = Home.current(), _console()
    with _only_one(home), interruptible():
        performance, code = Performance(home, console), _INTERRUPTED
        try:
            code = performance.show()
            if not exit_when_done and performance.is_worth_staying:
                console.print("Everything goes on until you press Ctrl-C.", style="bold")
                threading.Event().wait()
        except KeyboardInterrupt:
            console.print("stopping: streams finish their micro-batch first")
        finally:
            with uninterruptible(lambda: console.print("still stopping …")):
                performance.stop()
    return code


def _console() -> Console:
    """On a terminal as wide as it is; elsewhere wide enough for every table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


@contextmanager
def _only_one(home: Home) -> Iterator[None]:
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / "demo.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MillraceError(
                f"the demonstration runs already for {home.root}; one at a time uses a data folder; end it with Ctrl-C "
                "there, or set MILLRACE_HOME to another folder"
            ) from None
        yield
