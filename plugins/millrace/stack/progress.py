"""What long steps show: bars on a terminal, several at once if need be, and plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["progress"]

_console = Console(stderr=True)
_COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())


class _Display:
    """A terminal has room for one live display: the first step opens it, the last one closes it."""

    def __init__(self) -> None:
        self.bars = Progress(*_COLUMNS, console=_console, transient=True)
        self._lock = threading.Lock()
        self._under_way = 0

    @contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        task = self.bars.add_task(what, total=total)
        self._count(+1)
        try:
            yield lambda done: self.bars.update(task, completed=done)
        finally:
            self.bars.remove_task(task)
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change
            if self._under_way:
                self.bars.start()
            else:
                self.bars.stop()


_display = _Display()


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show that `what` is under way; the yielded function takes how many of `total` are done."""
    if not _console.is_terminal:
        _say(f"{what} …")
        yield lambda done: None
        _say(f"{what}: done")
        return
    with _display.step(what, total) as on_progress:
        yield on_progress


def _say(line: str) -> None:
    _console.print(line, markup=False, highlight=False, soft_wrap=True)
