"""The parity of a run, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["parity_lines"]

_COUNTS = {"equal": "equal", "different": "different", "only_batch": "only in batch", "only_speed": "only in speed"}
_SHOWN = 10


def parity_lines(pipeline: str, interval: str, result: Mapping[str, Any], partial: Sequence[str] = ()) -> list[str]:
    """A table of the counts in a reprocess's result, by outcome and by cause, and the first keys that differ.

    `partial`: why the archive of the interval was not proven complete; empty where it was.
    """
    parity = result.get("parity") or {}
    lines = [f"{pipeline} {interval} is partial: {'; '.join(partial)}"] if partial else []
    if not parity:
        return [*lines, f"{pipeline} {interval}: {_not_compared(result)}"]
    lines.append(f"{pipeline} {interval}: {'partial ' if partial else ''}batch against speed, by key")
    lines += _table({title: parity.get(name, 0) for name, title in _COUNTS.items()})
    if causes := parity.get("causes"):
        lines += ["differences by cause:", *_table(dict(sorted(causes.items())))]
    if late := (result.get("late") or {}).get("events"):
        windows = len(result["late"]["windows"])
        lines.append(f"late for the speed layer: {late:,} events of {windows:,} windows")
    return [*lines, *_differences(parity.get("differences") or [])]


def _not_compared(result: Mapping[str, Any]) -> str:
    if moment := result.get("speed_removed"):
        return f"not compared: the speed layer's rows of it were removed at {moment}, for they were old"
    return "the speed layer has no rows to compare with"


def _table(counts: Mapping[str, int]) -> Iterator[str]:
    width = max(map(len, counts))
    return (f"  {title:<{width}}  {count:>12,}" for title, count in counts.items())


def _differences(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return ["first keys that differ:", *map(_line, found[:_SHOWN])] if found else []


def _line(difference: Mapping[str, Any]) -> str:
    key = ", ".join(f"{name}={value}" for name, value in difference["key"].items())
    return f"  {_COUNTS[difference['outcome']]}, {difference['cause']}: {key}{_values(difference)}"


def _values(difference: Mapping[str, Any]) -> str:
    """What the layers say differently, where both say something."""
    batch, speed = difference["batch"], difference["speed"]
    if not batch or not speed:
        return ""
    differing = (
        f"{name} {batch[name]} in batch, {speed[name]} in speed" for name in batch if batch[name] != speed[name]
    )
    return f" ({'; '.join(differing)})"
