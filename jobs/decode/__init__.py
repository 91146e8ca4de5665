"""From Kafka records to typed events and dead letters: one way, for the archive, both layers and `redecode`."""

from __future__ import annotations

from jobs.decode.records import decode

__all__ = ["decode"]
