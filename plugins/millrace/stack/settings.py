"""What the local stack remembers between starts: ports and identities, in `<home>/stack.json`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from millrace.home import Home
from millrace.stack.file_lock import exclusive
from millrace.stack.private_file import write_private

__all__ = ["LOOPBACK", "load_settings", "ports_for", "save_settings"]

LOOPBACK = "127.0.0.1"


def load_settings(home: Home, part: str) -> dict[str, Any]:
    """The remembered settings of `part` ("kafka", "azurite", "airflow"); empty before its first start."""
    settings: dict[str, Any] = _load(home).get(part, {})
    return settings


def save_settings(home: Home, part: str, **values: Any) -> None:
    """Add `values` to the settings of `part`."""
    with exclusive(home.root / ".stack.json.lock"):
        everything = _load(home)
        everything[part] = everything.get(part, {}) | values
        write_private(home.stack_file, json.dumps(everything, indent=2) + "\n")


def ports_for(home: Home, part: str, names: Iterable[str]) -> dict[str, int]:
    """One loopback port per name: the remembered one, or another free one where it is taken or unknown.

    Call it only while `part` is down; the choice is remembered.
    """
    known = load_settings(home, part)
    with ExitStack() as held:  # all are held until the last is chosen, so that they differ
        ports = {name: _reserve(held, int(known.get(name, 0))) for name in names}
    if any(known.get(name) != port for name, port in ports.items()):
        save_settings(home, part, **ports)
    return ports


def _reserve(held: ExitStack, wanted: int) -> int:
    for port in (wanted, 0):
        listener = held.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free enough
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            continue
        chosen: int = listener.getsockname()[1]
        return chosen
    raise AssertionError("unreachable: the system always has a port for 0")


def _load(home: Home) -> dict[str, Any]:
    if not home.stack_file.exists():
        return {}
    everything: dict[str, Any] = json.loads(home.stack_file.read_text(encoding="utf-8"))
    return everything
