"""While an older version is served, readers with newer code read it by its own key, windows and topic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.declaration import declaration_text
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.version import fingerprint
from jobs.view import serving_view
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.certificate import certify
from millrace.lake.compare_versions import compare_versions
from millrace.lake.declared import declared
from millrace.lake.published import publish
from millrace.lake.serving import switch
from millrace.lake.view import read_view
from millrace.triggers.certify import claim_of
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.oracle.arrivals import Arrival
from tests.parity.layer_runs import VERSION, LayerRuns, by_key

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - 4 * DAY
FIRST, SECOND = Interval.of(NOON, DAY), Interval.of(NOON + DAY, DAY)


def tick(minutes: float, symbol: str, price: int = 1, of_day: int = 0) -> Arrival:
    moment = NOON + of_day * DAY + minutes * MINUTE
    text = f'{{"symbol":"{symbol}","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


class Deployed:
    """v1 has run, served and published the first day. The code here is of another key, windows and topic by now."""

    def __init__(self, spark: SparkSession, environment: Environment, lake: Lake) -> None:
        self.run = LayerRuns(spark, environment, lake)
        self.here = replace(environment, lake=lake.root)
        self.old, other = self.run.pipeline, replace(self.run.pipeline.topic, name="of_another_name")
        self.new: Pipeline = replace(self.old, key=("window_start",), window=5 * MINUTE, topic=other)
        files = LakeFiles(spark)
        files.replace(lake.declaration(VERSION), declaration_text(self.old))  # as its drivers do
        symbols = [tick(0, "A"), tick(0, "B", 2), tick(1, "A", 3), tick(1, "B", 4)]
        self.run.stream(
            [symbols, [tick(10, "A")], [tick(0.5, "B", 9)], [tick(0, "A", of_day=1), tick(0, "B", of_day=1)]]
        )
        self.run.stream([[tick(0.5, "B", 7, of_day=1)]])  # another update of one key of the second day
        self.run.archive()
        proven = certify(self.here, self.old.topic, FIRST, wait=timedelta(0))
        (result,) = self.run.reprocess([NOON], proven.raw_version)
        name = f"{VERSION}-{proven.raw_version}-{FIRST.id}"
        self.result = {"run": name, "version": VERSION, "raw_version": proven.raw_version, **result}
        files.replace(lake.newest_result(self.old.name, VERSION, FIRST.id), json.dumps(self.result))
        told = {"version": VERSION, "certificate": proven, "result": self.result}
        assert publish(self.here, self.old, FIRST, run=name, **told)  # type: ignore[arg-type]

    def expected(self) -> dict[Any, Any]:
        return high_low(read_topic(self.here.kafka_bootstrap, self.old.topic.name))


@pytest.fixture
def deployed(spark: SparkSession, environment: Environment, lake: Lake) -> Deployed:
    return Deployed(spark, environment, lake)


@pytest.fixture
def printed(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """What `millrace` prints as JSON, with the new code."""
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=deployed.here))
    monkeypatch.setattr("jobs.pipelines.find_pipeline", lambda name: deployed.new)

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--json"])
        assert not end.value.code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def test_readers_with_newer_code_read_the_served_version_as_it_was_declared(
    deployed: Deployed, printed: Callable[..., Any], spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, new, name = deployed.here, deployed.new, deployed.new.name
    expected = deployed.expected()
    assert Counter(start.date() for _, start in expected) == {FIRST.start.date(): 5, SECOND.start.date(): 2}
    rows = read_view(here, new)
    assert view_rows(rows) == expected
    assert rows["symbol"].to_pylist() == sorted(rows["symbol"].to_pylist()), "sorted by the served version's key"
    second_day = read_view(here, new, start=SECOND.start)
    assert view_rows(second_day) == {key: row for key, row in expected.items() if key[1] >= SECOND.start}
    in_spark = by_key(serving_view(spark, new, lake, fingerprint(new)))
    assert {key: (row.high, row.count) for key, row in in_spark.items()} == {
        key: (row["high"], row["count"]) for key, row in expected.items()
    }
    assert len(printed("view", name)) == len(expected)

    (window,) = printed("late", name, FIRST.id)["windows"]
    assert window == [NOON.isoformat(), 1]
    key = ("symbol=B", f"window_start={NOON.isoformat()}")
    explained = printed("explain", name, FIRST.id, *key)
    assert [(record["offset"], record["speed"]) for record in explained["records"]] == [(1, "counted"), (5, "late")]
    assert (explained["batch"]["count"], explained["speed"]["count"]) == (2, 1)
    shown = {row["interval"]: row for row in printed("view", name, "--intervals")}
    assert (shown[FIRST.id]["pending_late"], shown[FIRST.id]["late"]) == (0, 1)

    monkeypatch.setattr("millrace.supervision.connection.load_environment", lambda *_, **__: here)
    claim = claim_of(name, SECOND.id, None, None)
    assert (claim.topic.name, claim.reads) == (deployed.old.topic.name, SECOND)
    assert claim.look().proof() is not None, "the served version's runs go on being certified"


def test_versions_of_different_keys_are_not_compared_and_the_one_switched_to_is_read_by_its_own(
    deployed: Deployed, spark: SparkSession, lake: Lake
) -> None:
    here, new, version = deployed.here, deployed.new, fingerprint(deployed.new)
    LakeFiles(spark).replace(lake.declaration(version), declaration_text(new))
    with pytest.raises(
        UsageError, match=rf"key of version v1 is \(symbol, window_start\), that of {version} \(window_s"
    ):
        compare_versions(here, new, VERSION, version)
    switch(here, new, version, "a test", "")
    assert declared(here, deployed.old, version) == new, "to whoever still has the old code"
    rows = read_view(here, deployed.old)
    assert set(rows["_layer"].to_pylist()) == {"batch"}, "the first day, which v1 alone has published"
    assert view_rows(rows) == {key: row for key, row in deployed.expected().items() if key[1] < FIRST.end}
    assert rows["window_start"].to_pylist() == sorted(rows["window_start"].to_pylist())
