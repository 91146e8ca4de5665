"""The runtimes of Databricks that jobs run on: those with long-term support.

A list rather than a question to the workspace: a file is judged before there is one; names do not always tell
(Databricks' page lists `18` with three years of support, and without the letters LTS); and a runtime is here
only if its Spark lies between those that `jobs` is tested on, 3.3 and 4.2. https://learn.microsoft.com/azure/databricks/release-notes/runtime/
"""

from __future__ import annotations

import re

from millrace.environment_file import Table

__all__ = ["RUNTIME", "check_runtime", "has_real_time"]

RUNTIME = "17.3.x-scala2.13"
"""With Spark 4.0.0, supported until October 2028."""

_LONG_TERM = ("15.4.x-scala2.12", "16.4.x-scala2.12", "16.4.x-scala2.13", RUNTIME)
_REAL_TIME = (16, 4)


def check_runtime(table: Table, runtime: str) -> None:
    """Raises MillraceError, which names the field, for a runtime that is none of these."""
    if runtime not in _LONG_TERM:
        raise table.error(
            "runtime",
            runtime,
            "streams run for months, and Databricks supports other runtimes than those with long-term support (LTS) for"
            f" six: use one of: {', '.join(_LONG_TERM)}",
        )


def has_real_time(runtime: str) -> bool:
    """Whether it has Structured Streaming's real-time mode: from 16.4 on.

    https://learn.microsoft.com/azure/databricks/structured-streaming/real-time/
    """
    found = re.match(r"(\d+)\.(\d+)", runtime)
    return found is not None and tuple(map(int, found.groups())) >= _REAL_TIME
