"""Files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

__all__ = ["read_or_create", "write_private"]


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step; the file is 0600 from its first byte on."""
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """The text of `path`; where there is none yet, `make()` is written there first."""
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8")
