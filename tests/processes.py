"""What runs on this machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["mentioning"]


def mentioning(text: str) -> list[str]:
    """The ids of other processes that have `text` in their arguments or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in known and process.name != str(os.getpid()):
            found.append(process.name)
    return found
