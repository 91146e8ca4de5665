"""The name of a mapped task in Airflow's lists says where its interval is partial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["label_partial", "partial_label"]

_NAME = "is_partial"


def partial_label(interval: str) -> str:
    """A `map_index_template`: what `interval` (a template) gives, and that it is partial once the task has said so."""
    return f"{interval}{{{{ ' (partial)' if {_NAME} is defined and {_NAME} else '' }}}}"


def label_partial(context: Context, partial: Sequence[str]) -> None:
    """Says so of the task that runs, where there are reasons for it. Airflow renders the label anew when it has run."""
    cast(dict[str, Any], context)[_NAME] = bool(partial)
