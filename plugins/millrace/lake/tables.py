"""Delta tables of the lake through delta-rs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.environment import Environment

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["open_table"]


def open_table(environment: Environment, uri: str) -> DeltaTable | None:
    """The newest version of the table, or None when there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(uri, storage_options=environment.delta_options())
    except TableNotFoundError:
        return None
