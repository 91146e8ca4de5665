"""The parity of a run, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["parity_lines"]

_COUNTS = {"equal": "equal", "different": "different", "only_batch": "only in batch", "only_speed": "only in speed"}
_SHOWN = 10


def parity_lines(pipeline: str, interval: str, result: Mapping[str, Any]) -> list[str]:
    """A table of the counts in a reprocess's result, and the first keys that differ."""
    parity = result.get("parity") or {}
    if not parity:
        return [f"{pipeline} {interval}: the speed layer has no rows to compare with"]
    width = max(map(len, _COUNTS.values()))
    lines = [f"{pipeline} {interval}: batch against speed, by key"]
    lines += [f"  {title:<{width}}  {parity.get(name, 0):>12,}" for name, title in _COUNTS.items()]
    return [*lines, *_differing(parity.get("differing_keys") or [])]


def _differing(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    if not keys:
        return []
    return ["first keys that differ:", *(f"  {_text(key)}" for key in keys[:_SHOWN])]


def _text(key: Mapping[str, Any]) -> str:
    columns = ", ".join(f"{name}={value}" for name, value in key.items() if name != "outcome")
    return f"{_COUNTS.get(key.get('outcome', ''), '')}: {columns}"
