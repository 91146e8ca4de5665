"""Artificial stock prices and replayed real ones, sent to Kafka with every delivery counted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.producers.acks import AcksFile, read_acks
    from millrace.producers.generator import generate
    from millrace.producers.record import Record
    from millrace.producers.replayer import Source, replay
    from millrace.producers.sender import send
    from millrace.producers.settings import Settings

__all__ = ["AcksFile", "Record", "Settings", "Source", "generate", "read_acks", "replay", "send"]

_MODULES = {
    "AcksFile": "acks",
    "Record": "record",
    "Settings": "settings",
    "Source": "replayer",
    "generate": "generator",
    "read_acks": "acks",
    "replay": "replayer",
    "send": "sender",
}


def __getattr__(name: str) -> Any:
    """Loaded when first used: the command line shows its help without Kafka's and Arrow's libraries."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
