"""The notes about replication: it runs on one machine, so they lie there and not on the lake."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.stack.private_file import write_private

__all__ = ["LocalNotes"]


@dataclass(frozen=True)
class LocalNotes:
    """Small JSON files below `root`, by their path."""

    root: Path

    def read_json(self, path: str) -> dict[str, Any] | None:
        """None where there is none, or none that can be read."""
        try:
            content: dict[str, Any] = json.loads((self.root / path).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return content

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Replaces the file in one step."""
        write_private(self.root / path, json.dumps(content))

    def delete(self, path: str) -> None:
        """Nothing happens where there is none."""
        (self.root / path).unlink(missing_ok=True)
