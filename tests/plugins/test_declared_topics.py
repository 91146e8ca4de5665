"""Which topics Kafka has to have: those that are read, and those that alerts go to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.alerts_topic import Alerts
from jobs.errors import MillraceError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import TOPICS, stock_ticks
from millrace import declared_topics as module
from millrace.declared_topics import KafkaTopic, declared_topics


def test_alerts_topics_are_among_them() -> None:
    alerts = stock_high_low.alerts
    assert alerts is not None
    assert declared_topics() == [
        KafkaTopic("stock_alerts", alerts.partitions, alerts.retention),
        KafkaTopic("stock_ticks", stock_ticks.partitions, stock_ticks.retention),
    ]


@pytest.mark.parametrize(("partitions", "names"), [(3, ["loud", "stock_ticks"]), (4, None)])
def test_a_topic_of_alerts_that_is_read_too_is_declared_alike(
    monkeypatch: pytest.MonkeyPatch, partitions: int, names: list[str] | None
) -> None:
    loud = replace(stock_high_low, alerts=Alerts("loud", "a:b", ("symbol",), partitions=partitions))
    monkeypatch.setitem(TOPICS, "loud", replace(stock_ticks, name="loud"))
    monkeypatch.setattr(module, "pipelines_with_alerts", lambda: [loud])
    if names:
        assert [topic.name for topic in declared_topics()] == names
    else:
        with pytest.raises(MillraceError, match=r"topic 'loud': pipeline 'stock_high_low' declares .*partitions=4"):
            declared_topics()
