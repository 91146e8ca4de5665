"""Showing the steps: a live table on a terminal, a plain line per change elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from millrace.demo.steps import Step, Steps, StepState

__all__ = ["plain_line", "show", "steps_table"]

_MARKS = {
    StepState.WAITING: ("·", "dim"),
    StepState.RUNNING: ("▸", "bold cyan"),
    StepState.DONE: ("✓", "green"),
    StepState.FAILED: ("✗", "bold red"),
}


@contextmanager
def show(steps: Steps, console: Console) -> Iterator[None]:
    """Show the steps as they change."""
    if not console.is_terminal:
        steps.on_change = lambda step: console.print(plain_line(steps, step), markup=False, soft_wrap=True)
        yield
        return
    with Live(get_renderable=lambda: steps_table(steps), console=console, refresh_per_second=4):
        yield


def steps_table(steps: Steps) -> Table:
    """One row per step: its mark, title, seconds and note."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column(ratio=1)
    for step in steps.all.values():
        mark, style = _MARKS[step.state]
        seconds = steps.seconds(step)
        shown = "" if seconds is None else f"{seconds:.1f} s"
        table.add_row(Text(mark, style), Text(step.title, style), shown, Text(step.note, "dim"))
    table.add_row("", Text("total", "bold"), f"{steps.elapsed_s:.1f} s", "")
    return table


def plain_line(steps: Steps, step: Step) -> str:
    """What became of a step, as `[ 12.3 s] title: state (3.4 s): note`."""
    seconds = steps.seconds(step)
    took = f" ({seconds:.1f} s)" if step.state in (StepState.DONE, StepState.FAILED) and seconds is not None else ""
    state = "" if step.state is StepState.RUNNING and step.note else f" {step.state}{took}"
    return f"[{steps.elapsed_s:6.1f} s] {step.title}:{state}{_joined(step.note, bool(state))}"


def _joined(note: str, after_state: bool) -> str:
    return "" if not note else f": {note}" if after_state else f" {note}"
