"""The record of acknowledged deliveries, as JSON lines: what Kafka promised to hold, for an oracle to check."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Message


class Ack(NamedTuple):
    """One acknowledged delivery; `timestamp` in milliseconds since the epoch."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    kind: str


class AcksFile:
    """An observer of deliveries that writes one line for each: key and value in base64, null where there is none.

    The file is replaced if it exists, and complete when the `with` block ends.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __call__(self, message: Message, kind: str) -> None:
        line = {
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": message.timestamp()[1],
            "key": _text(message.key()),
            "value": _text(message.value()),
            "kind": kind,
        }
        self._file.write(json.dumps(line) + "\n")


def read_acks(path: Path) -> Iterator[Ack]:
    """What an `AcksFile` wrote, in the order of the acknowledgements."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            ack = json.loads(line)
            yield Ack(**{**ack, "key": _bytes(ack["key"]), "value": _bytes(ack["value"])})


def _text(data: str | bytes | None) -> str | None:
    if data is None:
        return None
    return b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
