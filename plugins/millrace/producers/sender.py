"""Send records to a topic: idempotently, acknowledged by all in-sync replicas, each delivery counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from millrace.producers.deliveries import Deliveries, Observer
from millrace.producers.pace import Pace
from millrace.producers.record import Record
from millrace.producers.stop import Stop
from millrace.producers.summary import DeliveryFailedError, Summary
from millrace.producers.topic import check_topic

_POLL_EVERY = 500
_LONGEST_WAIT_S = 0.1
"""So that a stop and the progress line are never far away."""

Progress = Callable[[Deliveries], None]

logger = logging.getLogger("millrace.kafka")
logger.addHandler(logging.NullHandler())


def send(
    records: Iterable[Record],
    topic: str,
    bootstrap: str,
    options: Mapping[str, str] | None = None,
    *,
    speed: float | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Send all records, or those until `stop`, and wait until Kafka has answered for each.

    `options` are further client settings (security, for example). `speed` as in `Pace`. `progress` is called about
    once a second. Raises `TopicUnusableError` before the first record, and `DeliveryFailedError` after the last one
    if Kafka refused any.
    """
    pace = Pace(speed)
    producer = connect(bootstrap, options or {})
    check_topic(producer, topic, bootstrap)
    sending = _Sending(producer, topic, Deliveries(observers), progress, stop or Stop())
    started = time.monotonic()
    sending.run(records, pace)
    sending.finish()
    deliveries = sending.deliveries
    summary = deliveries.summary(topic, time.monotonic() - started, sending.stop.requested)
    if summary.failed:
        raise DeliveryFailedError(summary, tuple(deliveries.failures))
    return summary


def connect(bootstrap: str, options: Mapping[str, str]) -> Producer:
    """A producer whose guarantees `options` cannot weaken."""
    settings: dict[str, Any] = {
        "client.id": "millrace-producer",
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": 262_144,
        "message.max.bytes": 1_048_588,
        **options,
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",  # where Java clients would put the same key
    }
    return Producer(settings, logger=logger)


class _Sending:
    """One run: the loop, the waiting, and the end."""

    def __init__(
        self, producer: Producer, topic: str, deliveries: Deliveries, progress: Progress | None, stop: Stop
    ) -> None:
        self.deliveries = deliveries
        self.stop = stop
        self._producer = producer
        self._topic = topic
        self._progress = progress
        self._told = time.monotonic()

    def run(self, records: Iterable[Record], pace: Pace) -> None:
        horizon = -1
        deliveries, stop = self.deliveries, self.stop
        for record in records:
            if record.timestamp > horizon:
                horizon = self._wait_until_due(record.timestamp, pace)
            if stop.requested or not self._give(record):
                break
            deliveries.produced += 1
            deliveries.kinds[record.kind] += 1
            if not deliveries.produced % _POLL_EVERY:
                self._poll(0)

    def finish(self) -> None:
        """Wait for the answers still due: at most the client's `delivery.timeout.ms`, or until told to hurry."""
        while self._producer.flush(_LONGEST_WAIT_S):
            self._tell()
            if self.stop.hurried:
                self._producer.purge()

    def _wait_until_due(self, timestamp: int, pace: Pace) -> int:
        while (horizon := pace.horizon(timestamp)) < timestamp and not self.stop.requested:
            self._poll(min(_LONGEST_WAIT_S, pace.wait_s(timestamp, horizon)))
        return horizon

    def _give(self, record: Record) -> bool:
        """Hand one record to the client; False if a stop came while its queue was full."""
        callback = self.deliveries.callback(record.kind)
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    on_delivery=callback,
                    timestamp=record.timestamp,
                    headers=list(record.headers) or None,
                )
                return True
            except BufferError:
                self._poll(_LONGEST_WAIT_S)
                if self.stop.requested:
                    return False
            except KafkaException as failed:
                self.deliveries.refused(failed.args[0])
                return True

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        self._tell()

    def _tell(self) -> None:
        if self._progress and time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            self._progress(self.deliveries)
