"""What a person sees while a producer runs."""

from __future__ import annotations

import time
from typing import TextIO

from confluent_kafka import Message

from millrace.producers.deliveries import Deliveries
from millrace.producers.summary import Summary


class EachDelivery:
    """An observer that prints partition and offset of each delivery."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, message: Message, kind: str) -> None:
        key, value = message.key(), message.value()
        name = key.decode(errors="replace") if isinstance(key, bytes) else "-"
        size = len(value) if value is not None else 0
        where = f"{message.topic()} partition {message.partition()} offset {message.offset()}"
        latency = message.latency()
        took = f", {latency * 1000:.1f} ms" if latency is not None else ""
        print(f"delivered {name} to {where} ({kind}, {size} bytes{took})", file=self._stream, flush=True)


class EachSecond:
    """A progress callback: one line of counts and the rate since the line before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before = (time.monotonic(), 0)

    def __call__(self, deliveries: Deliveries) -> None:
        now, acknowledged = time.monotonic(), deliveries.acknowledged
        then, before = self._before
        self._before = (now, acknowledged)
        print(
            f"produced {deliveries.produced:,}  acknowledged {acknowledged:,}  failed {deliveries.failed:,}  "
            f"{(acknowledged - before) / (now - then):,.0f}/s",
            file=self._stream,
            flush=True,
        )


def print_summary(summary: Summary, stream: TextIO) -> None:
    """The last lines of a run."""
    ended = "stopped" if summary.stopped else "finished"
    print(
        f"{ended}: produced {summary.produced:,}, acknowledged {summary.acknowledged:,}, failed {summary.failed:,} "
        f"in {summary.seconds:.1f} s ({summary.rate:,.0f}/s)",
        file=stream,
    )
    for number, written in sorted(summary.partitions.items()):
        print(
            f"  partition {number}: {written.records:,} records, offsets {written.first} to {written.last}", file=stream
        )
    print("  " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(summary.kinds.items())), file=stream)
