"""The demonstration: past days and live ticks through both layers, run from Airflow as a user would."""

from __future__ import annotations

__all__ = ["run_demo"]


def run_demo(*, exit_when_done: bool) -> int:
    """Run it until Ctrl-C, or to its end; the exit code: 0 if everything held. No process is left behind."""
    from millrace.demo.run import run  # here: the command line shows its help without loading all of this

    return run(exit_when_done=exit_when_done)
