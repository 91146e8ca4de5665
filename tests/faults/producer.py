"""A producer that writes all the time, and a file with every record that Kafka has acknowledged."""

from __future__ import annotations

import itertools
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from jobs.topics import stock_ticks
from millrace.producers.generator import generate
from millrace.producers.record import Record
from millrace.producers.sender import connect
from millrace.producers.settings import Settings
from tests.end_to_end.topic_oracle import KafkaRecord
from tests.faults.waiting import PATIENCE, await_true

__all__ = ["NUMBER", "Load", "Plan", "read_acknowledged"]

NUMBER = "n"
"""The header with a record's number: what tells a record from another one with the same bytes."""

_GARBAGE = ("not_json", "wrong_types", "missing_time", "absurd_time", "null_value", "invalid_utf8")
# A record waits as long as the longest outage of the broker, restarts under load included.
_OPTIONS = {"message.timeout.ms": "900000", "reconnect.backoff.max.ms": "1000", "log_level": "0"}


@dataclass(frozen=True)
class Plan:
    """What is written: `days` past days at first, then live ticks at `rate` per second until the end.

    One live record in `straggler_every` belongs to one of the past days instead: it comes too late for the speed layer.
    """

    seed: int
    days: int
    rate: float = 150.0
    straggler_every: int = 40
    today: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    )

    @property
    def past_days(self) -> list[datetime]:
        """Their starts. They ended a day ago at least: no run has to wait for them, at whatever hour it is."""
        return [self.today - timedelta(days=back) for back in range(self.days + 1, 1, -1)]

    def history(self) -> Iterator[Record]:
        settings = Settings(
            start=self.past_days[0],
            duration=timedelta(days=self.days),
            rate=0.01,
            seed=self.seed,
            disorder=0.05,
            duplicates=0.01,
            garbage=0.02,
            garbage_kinds=_GARBAGE,
        )
        now = int(time.time() * 1000)
        return (record._replace(timestamp=now) for record in generate(settings))

    def live(self, start: datetime) -> Iterator[Record]:
        """Without an end, in the order of Kafka's timestamps: a record is due at its own."""
        settings = Settings(
            start=start,
            rate=self.rate,
            seed=self.seed + 1,
            disorder=0.02,
            duplicates=0.01,
            garbage=0.02,
            garbage_kinds=_GARBAGE,
        )
        late = self._stragglers()
        for number, record in enumerate(generate(settings)):
            if number % self.straggler_every == 0:
                record = next(late)._replace(timestamp=record.timestamp)
            yield record

    def _stragglers(self) -> Iterator[Record]:
        days = [generate(Settings(start=day, rate=0.1, seed=self.seed + 2)) for day in self.past_days]
        for ticks in itertools.cycle(days):
            yield next(ticks)


class Load:
    """Sends a plan's records; numbers go on from one phase to the next. `maybe`: numbers that were given up."""

    def __init__(self, bootstrap: str, path: Path, first: int = 0) -> None:
        self._producer: Producer = connect(bootstrap, _OPTIONS)
        self._file = path.open("a", encoding="ascii")
        self._numbers = itertools.count(first)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.sent = self.acknowledged = 0
        self.maybe: dict[int, str] = {}

    def send_all(self, records: Iterator[Record]) -> None:
        """Sends records at once, and waits until Kafka has acknowledged each."""
        for record in records:
            self._send(record)
        await_true("acknowledgement of the past days", lambda: self._producer.flush(1) == 0)

    def start(self, records: Iterator[Record]) -> None:
        """Sends records as they come due, in a thread, until `end`."""
        self._thread = threading.Thread(target=self._run, args=(records,), name="producer")
        self._thread.start()

    def end(self) -> None:
        """Sends no more; returns when Kafka has answered for every record. Raises what the thread failed with."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        left = self._producer.flush(PATIENCE.total_seconds())
        self._file.close()
        if self._failure is not None:
            raise self._failure
        assert left == 0, f"Kafka has not answered for {left} records"

    def abandon(self) -> None:
        """After a failure: sends no more, and waits for nobody."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._producer.purge()
        self._producer.flush(5)
        self._file.close()

    def _run(self, records: Iterator[Record]) -> None:
        try:
            for record in records:
                while (early := record.timestamp / 1000 - time.time()) > 0 and not self._stop.is_set():
                    self._producer.poll(min(early, 0.05))
                if self._stop.is_set():
                    return
                self._send(record)
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._failure = error

    def _send(self, record: Record) -> None:
        number = next(self._numbers)
        headers = [(NUMBER, str(number).encode())]
        told = partial(self._told, number, record.timestamp)
        while True:
            try:
                self._producer.produce(
                    stock_ticks.name,
                    record.value,
                    record.key,
                    timestamp=record.timestamp,
                    headers=headers,
                    on_delivery=told,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
        self.sent += 1
        self._producer.poll(0)

    def _told(self, number: int, timestamp: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.maybe[number] = error.str()
            return
        self.acknowledged += 1
        line = {
            "n": number,
            "at": datetime.now(UTC).isoformat(),
            "partition": message.partition(),
            # None: the broker recognised a record that was sent again, and no longer knows where it put it.
            "offset": message.offset() if (message.offset() or 0) >= 0 else None,
            "timestamp": timestamp,
            "key": _text(message.key()),
            "value": _text(message.value()),
        }
        self._file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Acknowledged:
    """One line of the file; `record.offset` is -1 where the acknowledgement did not say it. `at`: by when Kafka had
    acknowledged it."""

    number: int
    at: datetime
    record: KafkaRecord


def read_acknowledged(path: Path) -> list[Acknowledged]:
    """What Kafka promised to hold."""
    with path.open(encoding="ascii") as lines:
        return [_acknowledged(json.loads(line)) for line in lines]


def _acknowledged(line: dict[str, Any]) -> Acknowledged:
    moment = datetime.fromtimestamp(line["timestamp"] / 1000, UTC)
    offset = -1 if line["offset"] is None else line["offset"]
    record = KafkaRecord(line["partition"], offset, moment, _bytes(line["key"]), _bytes(line["value"]))
    return Acknowledged(line["n"], datetime.fromisoformat(line["at"]), record)


def _text(data: str | bytes | None) -> str | None:
    if data is None:
        return None
    return b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
