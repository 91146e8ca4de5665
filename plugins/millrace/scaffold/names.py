"""Which names a new pipeline may have."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec

from jobs.errors import UsageError
from jobs.topics import TOPICS

__all__ = ["check_name"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 38
"""With a longer one the lines of the templates would be longer than `make lint` allows."""


def check_name(name: str) -> None:
    """Raises UsageError for a name that cannot be a module, a DAG and a folder on the lake at once."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        _refuse(name, f"is not lower_snake_case with single underscores and at most {_LONGEST} letters", "tick_counts")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        _refuse(name, "is a word of Python", f"{name}_counts")
    if name in TOPICS:
        _refuse(name, "is the name of a topic", f"{name}_counts")
    # Airflow puts dags/ on the path of modules: dags/json.py would take the place of Python's own json.
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        _refuse(name, "is the name of an installed Python module, which dags/ would hide", f"{name}_counts")


def _refuse(name: str, rule: str, instead: str) -> None:
    raise UsageError(f"pipeline name {name!r} {rule}; use for example {instead!r}")
