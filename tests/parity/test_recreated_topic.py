"""A topic is deleted and created again under running streams: what the refusal says to do is done, to the end."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.declaration import declaration_text
from jobs.interval import Interval
from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query
from jobs.lake_files import LakeFiles
from jobs.lost_offsets import LostOffsetsError
from jobs.offsets_guard import OffsetsGuard
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.certificate import Certificate
from millrace.lake.interval_claim import interval_claim
from millrace.lake.ledger import update_ledger
from millrace.lake.ledger.entries import Kind
from millrace.lake.published import publish
from millrace.lake.readiness import NotReadyError, check_switch
from millrace.lake.serving import begin_serving, switch
from millrace.lake.view import read_view
from millrace.stack.topics import ensure_topic
from tests.end_to_end.topic_oracle import KafkaRecord, high_low, view_rows
from tests.oracle.arrivals import Arrival
from tests.oracle.ticks import Sent
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - 4 * DAY
FIRST, SECOND, THIRD = (Interval.of(NOON + number * DAY, DAY) for number in range(3))


def ticks(day: int, prices: range) -> list[Arrival]:
    """One a minute, from noon on, in partition 0."""
    moments = [(NOON + day * DAY + price * MINUTE, price) for price in prices]
    text = '{{"symbol":"A","event_time":"{}","price":{},"volume":1}}'
    return [Arrival(text.format(moment.isoformat(), price).encode(), moment, 0) for moment, price in moments]


class Version(LayerRuns):
    """A version of the pipeline with its streams, each held by its guard, as drivers run them."""

    def __init__(self, spark: SparkSession, environment: Environment, lake: Lake) -> None:
        super().__init__(spark, environment, lake)
        self.here = dataclasses.replace(environment, lake=lake.root)
        self.version = "v1"
        self._note()

    def of_topic(self, name: str) -> Version:
        """The next version, that reads this topic."""
        ensure_topic(self.here, name, stock_ticks.partitions)
        found = copy.copy(self)
        found.pipeline = dataclasses.replace(self.pipeline, topic=dataclasses.replace(self.pipeline.topic, name=name))
        found.version = "v2"
        found._note()
        return found

    def guards(self) -> Iterator[OffsetsGuard]:
        topic, kafka, lake = self.pipeline.topic.name, self.here.kafka_bootstrap, Lake("")
        archive, speed = lake.checkpoint(archive_query(topic), RAW_VERSION), speed_query(self.pipeline.name)
        yield OffsetsGuard(self._spark, topic, kafka, self.lake, archive, self.lake.raw(topic))
        stream = lake.checkpoint(speed, self.version)
        yield OffsetsGuard(self._spark, topic, kafka, self.lake, stream, self.lake.speed(self.pipeline.name))

    def read(self) -> None:
        """Both streams, up to what Kafka holds."""
        for guard, run in zip(self.guards(), (self.archive, lambda: self.stream([], self.version)), strict=True):
            guard.admit()
            run()

    def certificate(self, interval: Interval, *, partial: bool = False) -> Certificate:
        claim = interval_claim(self.here, self.pipeline, interval)
        if partial:
            return claim.partial()
        look = claim.look()
        assert look.proof(), look.missing
        return look.certificate  # type: ignore[return-value]

    def publish(self, interval: Interval, certificate: Certificate) -> dict[str, Any]:  # type: ignore[override]
        raw_version = certificate.raw_version
        (result,) = self.reprocess([interval.start], raw_version, self.version)
        run = f"{self.version}-{raw_version}-{interval.id}"
        told = {"version": self.version, "certificate": certificate, "result": {"version": self.version, **result}}
        assert publish(self.here, self.pipeline, interval, run=run, **told)  # type: ignore[arg-type]
        return result

    def answered(self) -> dict[str, set[tuple[str, str]]]:
        """Per interval of the view, the layer and version that answer."""
        found: dict[str, set[tuple[str, str]]] = {}
        for row in read_view(self.here, self.pipeline).to_pylist():
            found.setdefault(row["_interval"], set()).add((row["_layer"], row["_version"]))
        return found

    def view(self) -> dict[Any, Any]:
        return view_rows(read_view(self.here, self.pipeline))

    def _note(self) -> None:
        files, path = LakeFiles(self._spark), self.lake.declaration(self.version)
        files.replace(path, declaration_text(self.pipeline))


def expected(*sent: Sent) -> dict[Any, Any]:
    return high_low(KafkaRecord(one.partition, one.offset, one.timestamp, None, one.value) for one in sent)


def test_a_topic_of_a_new_name_goes_on_where_the_old_one_was_lost_and_no_event_leaves_the_view(
    spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    old = Version(spark, environment, lake)
    begin_serving(old.here, old.pipeline, "v1", "a test")
    sent = old.produce([*ticks(0, range(1, 4)), *ticks(1, range(1, 4))])
    old.read()
    old.publish(FIRST, old.certificate(FIRST))
    assert old.view() == expected(*sent)

    old.recreate_topic()
    old.produce(ticks(1, range(4, 9)))
    for guard in old.guards():
        with pytest.raises(LostOffsetsError, match=r"was deleted and created again.* a topic of a new name, dec"):
            guard.admit()
    assert old.view() == expected(*sent), "what is there is served"
    kinds = {entry.kind for entry in update_ledger(old.here, old.pipeline.topic.name).ledger.entries}
    assert Kind.RECREATED in kinds, "the ledger notes it for ever"

    new = old.of_topic(f"{old.pipeline.topic.name}_anew")
    sent_anew = new.produce([*ticks(1, range(4, 6)), *ticks(2, range(1, 3))])
    new.read()
    assert new.view() == expected(*sent), "it is not served yet"
    with pytest.raises(NotReadyError, match=rf"lacks 3 events \(of {SECOND.id}\).*have the same records written"):
        check_switch(new.here, new.pipeline, "v2", allow_older=True)

    partial = old.certificate(SECOND, partial=True)  # nobody can prove any more that the old topic had no more
    assert any("recreated" in reason for reason in partial.partial), partial.partial
    old.publish(SECOND, partial)
    with pytest.raises(NotReadyError, match=rf"has 2 events \(of {SECOND.id}\) that lack there: no version counts all"):
        check_switch(new.here, new.pipeline, "v2", allow_older=True)
    assert any("has 3 events of it that topic" in reason for reason in new.certificate(SECOND, partial=True).partial)

    rows = old.raw_rows().where(f"event_date = '{SECOND.start.date()}'").orderBy("offset").collect()
    copied = new.produce(Arrival(bytes(row["value"]), row["timestamp"].astimezone(UTC), 0) for row in rows)
    new.read()
    result = new.publish(SECOND, new.certificate(SECOND))
    assert result["rows_read"] == 5
    check_switch(new.here, new.pipeline, "v2", allow_older=True)
    switch(new.here, new.pipeline, "v2", "a test", "")
    of_first = [one for one in sent if one.timestamp < FIRST.end]
    assert new.view() == expected(*of_first, *sent_anew, *copied)
    assert new.answered() == {
        FIRST.id: {("batch", "v1")},
        SECOND.id: {("batch", "v2")},
        THIRD.id: {("speed", "v2")},
    }
    assert sorted((len(sent), len(sent_anew), len(copied))) == [3, 4, 6]
