"""The delivery callback: counts what Kafka acknowledges, and lets observers see each delivery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka import KafkaError, Message

from millrace.producers.summary import Failure, Summary, Written

Observer = Callable[[Message, str], None]
"""Called with each acknowledged message and its record's kind, in the thread that polls."""

Callback = Callable[[KafkaError | None, Message], None]

KEPT_FAILURES = 20


class Deliveries:
    """Counts of one run. Every record given to Kafka comes back here exactly once, as delivered or as failed."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self.produced = 0
        self.acknowledged = 0
        self.failed = 0
        self.failures: list[Failure] = []
        self.kinds: Counter[str] = Counter()
        self._observers = tuple(observers)
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._records: Counter[int] = Counter()

    def callback(self, kind: str) -> Callback:
        """What to give to `Producer.produce` for a record of this kind."""
        return partial(self._observed, kind) if self._observers else self._counted

    def refused(self, error: KafkaError) -> None:
        """A record that the client itself would not take: produced, and failed at once."""
        self.failed += 1
        self._keep(Failure(None, None, error.str()))

    def summary(self, topic: str, seconds: float, stopped: bool) -> Summary:
        return Summary(
            topic, self.produced, self.acknowledged, self.failed, self._written(), dict(self.kinds), seconds, stopped
        )

    def _counted(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            self._lost(error, partition, offset)
            return
        self.acknowledged += 1
        self._records[partition] += 1
        if offset > self._last.get(partition, -1):
            self._last[partition] = offset
        if offset <= self._first.setdefault(partition, offset):
            self._first[partition] = offset

    def _observed(self, kind: str, error: KafkaError | None, message: Message) -> None:
        self._counted(error, message)
        if error is None:
            for observe in self._observers:
                observe(message, kind)

    def _lost(self, error: KafkaError | None, partition: int | None, offset: int | None) -> None:
        self.failed += 1
        reason = error.str() if error is not None else "acknowledged without an offset"
        self._keep(Failure(_assigned(partition), _assigned(offset), reason))

    def _keep(self, failure: Failure) -> None:
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(failure)

    def _written(self) -> Mapping[int, Written]:
        return {
            partition: Written(self._first[partition], self._last[partition], records)
            for partition, records in sorted(self._records.items())
        }


def _assigned(number: int | None) -> int | None:
    """librdkafka writes "none" as a negative number."""
    return number if number is not None and number >= 0 else None
