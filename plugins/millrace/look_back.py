"""How far back a nightly run looks, unless its DAG says otherwise."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["REPAIR_WITHIN"]

REPAIR_WITHIN = timedelta(days=7)
