"""A partial interval is repaired by itself once its archive is proven complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.pending_late import look_back, overdue
from millrace.lake.published import publish
from tests.meanwhile import meanwhile
from tests.plugins.lake.archived_topic import ArchivedTopic, ended

HOURLY = replace(stock_high_low, interval=timedelta(hours=1))


def test_a_partial_interval_is_repaired_once_it_is_proven_complete(own_lake: Environment) -> None:
    ticks = ArchivedTopic(own_lake)
    ticks.produce(2)
    ticks.archive(1, 0)
    pipeline, hour_ago = replace(HOURLY, topic=ticks.topic), ended(timedelta(hours=2))
    whole = Interval.of(hour_ago.start, pipeline.interval)
    result = {"rows_read": 0, "rows_by_day": {whole.start.date().isoformat(): 0}}

    def publish_run(run: str) -> None:
        found = ticks.claim(whole).partial()
        publish(own_lake, pipeline, whole, run=run, version="v1", certificate=found, result=result)

    def to_repair(patience: timedelta = timedelta(minutes=1)) -> dict[Interval, int]:
        look = look_back(own_lake, pipeline)
        return overdue(own_lake, look, datetime.now(UTC), timedelta(days=7), patience)[0]

    publish_run("while the archive is behind")
    assert to_repair(timedelta(seconds=3)) == {}, "it would be as partial again"

    def go_on(number: int) -> None:
        """The archive has one record more each time, and stays one behind the topic."""
        ticks.produce(1)
        ticks.archive(number + 2, 0)

    with meanwhile(go_on, 0.2):
        assert to_repair() == {whole: 0}, "however far the topic has gone on since"
    ticks.archive(ticks.archived[0] + 1, 0)
    publish_run("when it has all")
    assert to_repair() == {}
