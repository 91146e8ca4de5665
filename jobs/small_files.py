"""Small text files of the lake, read by a driver through Hadoop or by Airflow's side. No Spark import here."""

from __future__ import annotations

from typing import List, Optional, Protocol

__all__ = ["SmallFiles"]


class SmallFiles(Protocol):
    """Reads UTF-8 files by where they lie (see `jobs.lake.Lake`)."""

    def read(self, uri: str) -> Optional[str]:
        """The file's text, or None when there is no such file."""

    def read_head(self, uri: str, size: int) -> str:
        """The file's first `size` bytes, wherever in a line they end; empty when there is no such file."""

    def names(self, uri: str) -> List[str]:
        """Names in a folder, in any order; none when there is no such folder."""
