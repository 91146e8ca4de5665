"""Declaring a topic: a Kafka topic and how its records become typed events. No Spark import here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Optional, Tuple

from jobs.errors import DeclarationError

__all__ = ["KAFKA_NAME", "METADATA_COLUMNS", "Field", "Topic"]

FORMATS = ("json",)
METADATA_COLUMNS = ("_partition", "_offset")
_TYPE = re.compile(r"string|long|double|boolean|timestamp|decimal\((\d{1,2}), ?(\d{1,2})\)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
KAFKA_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True)
class Field:
    """One field of an event.

    `type`: string, long, double, boolean, timestamp, or decimal(precision, scale) with precision up to 38.
    A string field takes any JSON value: a number or an object as Spark prints it. A decimal, also one in quotes, is
    rounded half up to its scale. A timestamp is ISO 8601 with an offset or Z, exact to the microsecond; one without a
    zone is an error, never a guess.
    A `required` field that is missing or null makes the record a dead letter.
    """

    name: str
    type: str
    required: bool = True

    def __post_init__(self) -> None:
        thing = f"field {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(thing, "name", self.name, "is not lower_snake_case", "rename it")
        match = _TYPE.fullmatch(self.type)
        if match is None:
            remedy = "use string, long, double, boolean, timestamp or decimal(precision, scale)"
            raise DeclarationError(thing, "type", self.type, "is not known", remedy)
        if match.group(1) and not 1 <= int(match.group(1)) <= 38:
            raise DeclarationError(thing, "type", self.type, "has a precision outside 1 to 38", "lower it")
        if match.group(1) and int(match.group(2)) > int(match.group(1)):
            raise DeclarationError(thing, "type", self.type, "has a scale above its precision", "lower the scale")


@dataclass(frozen=True)
class Topic:
    """A Kafka topic and its decoding; shared by every pipeline that reads it.

    A record is a dead letter when its event time is more than `max_ahead` after or more than `max_age` before the
    record's Kafka timestamp, or when its value is longer than `max_value_bytes`.

    A field may be added to the end of `fields` later: what was archived before has it too, where its bytes say so (see
    decision 25). The event time must stay what it was: the archive finds records by its day.

    `allowed_lateness` is how long after an interval's end its records may still arrive: from then on, what Kafka holds
    is all of the interval, and a run that read it all may be published as complete. Zero: nothing comes late. It
    decides when an interval is certified, not what its answers are. What arrives later still is pending late.

    `retention` is how long Kafka keeps a record at least, by its Kafka timestamp: by then the archive must have it.
    None: for ever. It is set where the DAG `provision` makes the topic on Azure; the local broker keeps everything.
    """

    name: str
    fields: Tuple[Field, ...]
    event_time: str
    format: str = "json"
    partitions: int = 3
    max_ahead: timedelta = timedelta(days=1)
    max_age: timedelta = timedelta(days=400)
    max_value_bytes: int = 512 * 1024
    allowed_lateness: timedelta = timedelta(hours=1)
    retention: Optional[timedelta] = timedelta(days=7)

    def __post_init__(self) -> None:
        thing = f"topic {self.name!r}"
        if not KAFKA_NAME.fullmatch(self.name):
            raise DeclarationError(thing, "name", self.name, "is not a Kafka topic name", "use letters, digits, . _ -")
        if self.format not in FORMATS:
            raise DeclarationError(thing, "format", self.format, "has no decoder", f"use one of {', '.join(FORMATS)}")
        names = [field.name for field in self.fields]
        for name in names:
            if names.count(name) > 1:
                raise DeclarationError(thing, "fields", name, "is declared twice", "remove one")
        times = [field.name for field in self.fields if field.type == "timestamp" and field.required]
        if self.event_time not in times:
            raise DeclarationError(
                thing, "event_time", self.event_time, "is not a required timestamp field", f"use one of {times}"
            )
        for field in ("partitions", "max_value_bytes"):
            if getattr(self, field) < 1:
                raise DeclarationError(thing, field, getattr(self, field), "is below 1", "use 1 or more")
        self._check_times(thing)

    def _check_times(self, thing: str) -> None:
        for field in ("max_ahead", "max_age"):
            value = getattr(self, field)
            if value <= timedelta(0) or value % timedelta(seconds=1):
                raise DeclarationError(thing, field, str(value), "is not a positive number of seconds", "change it")
        kept = self.retention
        if kept is not None and (kept <= timedelta(0) or kept % timedelta(seconds=1)):
            rule = "is not a positive number of seconds"
            raise DeclarationError(thing, "retention", str(kept), rule, "use whole seconds, or None to keep all")
        lateness = self.allowed_lateness
        if lateness < timedelta(0) or lateness % timedelta(seconds=1):
            rule = "is negative or no whole number of seconds"
            raise DeclarationError(thing, "allowed_lateness", str(lateness), rule, "use zero or whole seconds")
