"""What the records behind a key say of its two answers: the cause of their difference, and why, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from jobs.errors import UsageError
from jobs.verdicts import (
    ACCEPTED_LOSS,
    BEFORE_STREAM,
    LATE,
    NOT_YET_CLOSED,
    NOT_YET_READ,
    OTHER_VERSION,
    REDECODED,
    UNEXPLAINED,
)
from millrace.moments import parse_moment

__all__ = ["COUNTED", "cause_of", "differing", "equals", "reason", "rows_removed"]

COUNTED = "counted"
_WORDS = {
    LATE: "came after it had closed their window",
    ACCEPTED_LOSS: "lie where it went on behind a loss that was accepted",
    BEFORE_STREAM: "came before its first offset",
    OTHER_VERSION: "were read by another version's stream",
    REDECODED: "were dead letters when it read them",
    NOT_YET_READ: "it has not read yet",
    NOT_YET_CLOSED: "are of a session that it has not closed yet",
}
"""What became of records in the speed layer, most telling first; of several kinds, the first is the cause."""

Row = Mapping[str, Any] | None


def differing(batch: Row, speed: Row, float_tolerance: float) -> list[str]:
    """The columns that the layers answer differently; none where a layer has no row. As `jobs.parity` compares."""
    if batch is None or speed is None:
        return []
    return [name for name in batch if not _is_near(batch[name], speed.get(name), float_tolerance)]


def cause_of(
    key: Mapping[str, str], result: Mapping[str, Any], batch: Row, speed: Row, lacking: Sequence[str], tolerance: float
) -> str | None:
    """The cause of the key's difference in a run; None where there is none, or it is not known which.

    The run has it of the differences that it lists. Of another it has at least whether any unexplained one is not
    listed; the kinds of events that the speed layer lacks (`lacking`) tell the rest.
    """
    parity = result.get("parity")
    is_same = (batch is None) == (speed is None) and not differing(batch, speed, tolerance)
    if not parity or is_same:
        return None
    listed = parity.get("differences") or []
    for each in listed:
        if all(equals(each["key"].get(name), text) for name, text in key.items()):
            return str(each["cause"])
    causes = parity.get("causes") or {}
    is_listed = causes.get(UNEXPLAINED, 0) <= sum(each["cause"] == UNEXPLAINED for each in listed)
    kinds = [kind for kind in _WORDS if kind in lacking]
    if is_listed:
        return kinds[0] if kinds else _only(causes)
    return None if kinds else UNEXPLAINED


def reason(
    cause: str | None, batch: Row, speed: Row, layers: Sequence[tuple[str, str]], result: Mapping[str, Any], near: float
) -> str:
    """Why the layers answer as they do, in sentences. `layers`: per record, what batch and speed did with it."""
    if batch is None and speed is None:
        return "Neither layer has a row of this key."
    if not result.get("parity"):
        return "The run had no rows of the speed layer to compare with."
    columns = differing(batch, speed, near)
    is_same = batch is not None and speed is not None and not columns
    return " ".join(filter(None, [_answers(batch, speed, columns), *_records(layers, cause, is_same)]))


def rows_removed(moment: datetime) -> str:
    """The same where the speed layer has no row of the key, and those of the interval were removed."""
    return (
        f"The speed layer's rows of this interval were removed at {moment:%Y-%m-%d %H:%M:%S} UTC, for they were old:"
        " what it answered is known of those differences only that the run lists."
    )


def equals(value: Any, text: str) -> bool:
    """Whether a value of a row, or of its JSON, is what a person wrote."""
    if str(value) == text:
        return True
    try:
        if isinstance(value, datetime):
            return value == parse_moment("key", text)
        if isinstance(value, Decimal):
            return value == Decimal(text)
        return isinstance(value, str) and parse_moment("key", value) == parse_moment("key", text)
    except (UsageError, InvalidOperation):
        return False


def _is_near(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=tolerance)
    return bool(a == b)


def _only(causes: Mapping[str, int]) -> str | None:
    found = [cause for cause in causes if cause != UNEXPLAINED]
    return found[0] if len(found) == 1 else None


def _answers(batch: Row, speed: Row, columns: Sequence[str]) -> str:
    if batch is None or speed is None:
        return "Only batch has a row." if speed is None else "Only the speed layer has a row."
    if not columns:
        return "Batch and speed answer the same."
    return f"They differ: {'; '.join(f'{name} is {batch[name]} in batch, {speed[name]} in speed' for name in columns)}."


def _records(layers: Sequence[tuple[str, str]], cause: str | None, is_same: bool) -> Iterator[str]:
    in_run = [speed for batch, speed in layers if batch == COUNTED]
    lacks = Counter(speed for speed in in_run if speed in _WORDS)
    kinds = ", ".join(f"{lacks[kind]:,} {words} ({kind})" for kind, words in _WORDS.items() if lacks[kind])
    if kinds:
        yield f"Of the {len(in_run):,} records that batch counted the speed layer lacks {lacks.total():,}: {kinds}."
    if cause == UNEXPLAINED:
        others = f"{in_run.count(COUNTED):,}{' others' if kinds else ''}"
        why = "its answer does not follow from them, or batch's own does not come again"
        yield f"It should have counted {others}, and {why}: this is unexplained."
    elif cause is None and not is_same:
        yield "The run lists the first differences only, not this one: its cause is not known."
    elif kinds and is_same:
        yield "That changed nothing."
    if after := len(layers) - len(in_run):
        yield f"{after:,} more arrived after the run: pending late, if it is published."
