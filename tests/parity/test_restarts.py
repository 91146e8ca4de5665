"""A restart that does not fit its checkpoint is refused before Spark starts, with what changed and what to do."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark import __version__ as engine
from pyspark.sql import SparkSession

from jobs.archive import start_archive
from jobs.errors import UsageError
from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query
from jobs.topic import Field
from millrace.environment import Environment
from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import high_low
from tests.oracle.ticks import Sent, read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = pytest.mark.stack

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STORES = "org.apache.spark.sql.execution.streaming.state"

# Each decides what a row of state is, or where it lies.
OTHERWISE = {
    "spark.sql.shuffle.partitions": "3",
    "spark.sql.streaming.aggregation.stateFormatVersion": "1",
    "spark.sql.streaming.stateStore.rocksdb.formatVersion": "4",
    "spark.sql.streaming.stateStore.compression.codec": "zstd",
    "spark.sql.streaming.statefulOperator.useStrictDistribution": "false",
}


def tick(price: int) -> Arrival:
    text = f'{{"symbol":"7","event_time":"{NOON.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), NOON, 0)


@pytest.fixture(scope="module")
def ran(
    spark: SparkSession, environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LayerRuns, list[Sent]]:
    """Both layers after some micro-batches, stopped."""
    run = LayerRuns(spark, environment, Lake((tmp_path_factory.mktemp("ran") / "lake").as_uri()))
    sent = run.stream([[tick(2)], [tick(3)]])
    run.archive()
    return run, sent


@pytest.fixture
def run(ran: tuple[LayerRuns, list[Sent]], tmp_path: Path) -> LayerRuns:
    """The same with a copy of the lake."""
    mine = copy.copy(ran[0])
    mine.lake = Lake((tmp_path / "lake").as_uri())
    shutil.copytree(ran[0].lake.root.removeprefix("file://"), tmp_path / "lake")
    return mine


@pytest.fixture
def checkpoint(run: LayerRuns) -> Path:
    return run.checkpoint(speed_query(run.pipeline.name))


@pytest.fixture
def setting(spark: SparkSession) -> Iterator[Callable[[str, str], None]]:
    """Sets a setting of the session for the test."""
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before[name] = spark.conf.get(name) or ""
        spark.conf.set(name, value)

    yield change
    for name, value in before.items():
        spark.conf.set(name, value)


def with_transform(run: LayerRuns, name: str) -> None:
    run.pipeline = dataclasses.replace(run.pipeline, transform=f"tests.parity.changed_transforms:{name}")


def test_changed_columns_of_the_aggregate_are_refused(run: LayerRuns) -> None:
    # Spark: STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE with both lists of types, and the advice to switch the check off.
    with_transform(run, "another_column")
    with pytest.raises(
        UsageError,
        match=r"speed/v1 does not fit this query: .*output column 'open' was decimal\(18,4\) and is nothing; .*"
        r"output column 'total' was nothing and is decimal\(28,4\).*raise the pipeline's `revision` to start a new",
    ):
        run.start()


def test_another_aggregate_in_the_same_columns_is_refused(run: LayerRuns) -> None:
    # Spark says nothing, and goes on with the maximum so far as the minimum so far.
    with_transform(run, "high_is_low")
    with pytest.raises(
        UsageError, match=r"stateful operator 1 was Aggregate .*max\(price\) AS high.* and is Aggregate"
    ):
        run.start()


def test_another_type_of_the_key_is_refused(run: LayerRuns) -> None:
    # Spark: STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE, once a micro-batch has data.
    fields = (Field("symbol", "long"), *run.pipeline.topic.fields[1:])
    run.pipeline = dataclasses.replace(run.pipeline, topic=dataclasses.replace(run.pipeline.topic, fields=fields))
    with pytest.raises(UsageError, match=r"event field 'symbol' was string and is long; output column 'symbol' was"):
        run.start()


@pytest.mark.parametrize(
    ("name", "damage", "complaint"),
    [
        ("metadata", b'{"id":"c78', r"metadata is damaged \(Unterminated string"),
        ("metadata", None, r"has offsets and commits, but no metadata"),
        ("offsets/newest", b"", r"offsets/\d has 0 lines where Spark writes 3"),
        ("offsets/newest", b'v1\n{"batchWater', r"offsets/\d has 2 lines where Spark writes 3"),
        ("offsets/newest", b'v1\n{"batchWatermarkMs":0}\n{"ticks":{"0":1', r"offsets/\d is damaged"),
        ("commits/newest", b'v1\n{"nextBatch', r"commits/\d is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    checkpoint: Path, run: LayerRuns, name: str, damage: bytes | None, complaint: str
) -> None:
    # Spark: JsonEOFException or "Unexpected end-of-input in field name" without a file's name; of an empty one
    # "Incomplete log file".
    path = checkpoint / name
    if path.name == "newest":
        path = max((found for found in path.parent.iterdir() if found.name.isdigit()), key=lambda p: int(p.name))
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(UsageError, match=rf"checkpoint .*speed/v1:? {complaint}.*restore the whole folder from a copy"):
        run.start()


def test_a_missing_plan_is_refused(checkpoint: Path, run: LayerRuns) -> None:
    # Spark: "batch 2 doesn't exist".
    newest = max(int(found.name) for found in (checkpoint / "offsets").iterdir() if found.name.isdigit())
    (checkpoint / "offsets" / str(newest - 1)).unlink()
    with pytest.raises(UsageError, match=rf"offsets/{newest - 1} is missing; restore"):
        run.start()


def test_a_checkpoint_of_a_newer_spark_is_refused(checkpoint: Path, run: LayerRuns) -> None:
    manifest = json.loads((checkpoint / "millrace.json").read_text())
    (checkpoint / "millrace.json").write_text(json.dumps({**manifest, "Spark": "9.1.0"}))
    with pytest.raises(
        UsageError, match=rf"last written by Spark 9\.1\.0, and this is Spark {engine}.*; run Spark 9\.1\.0 again, or"
    ):
        run.start()


def test_another_state_store_is_refused(run: LayerRuns, setting: Callable[[str, str], None]) -> None:
    # Spark goes on with the store that the checkpoint notes, whatever the session says.
    setting("spark.sql.streaming.stateStore.providerClass", f"{STORES}.HDFSBackedStateStoreProvider")
    with pytest.raises(UsageError, match=rf"providerClass back to {STORES}.RocksDBStateStoreProvider, or raise"):
        run.start()


def test_settings_that_form_the_state_stay_the_checkpoints(
    spark: SparkSession, environment: Environment, tmp_path: Path, setting: Callable[[str, str], None]
) -> None:
    """A session of a cluster that is set up otherwise: it would write rows of state that the older do not fit.

    With a topic of its own, since it sends to it.
    """
    run = LayerRuns(spark, environment, Lake((tmp_path / "lake").as_uri()))
    first = run.stream([[tick(2)], [tick(3)]])
    checkpoint = run.checkpoint(speed_query(run.pipeline.name))
    before = noted_settings(checkpoint)
    for name, value in OTHERWISE.items():
        setting(name, value)
        assert before.get(name, value) != value, name
    sent = run.stream([[tick(5)], [tick(1)]])
    assert run.speed_rows() == high_low([found for found in map(read_tick, [*first, *sent]) if found])
    after = noted_settings(checkpoint)
    assert {name: after[name] for name in OTHERWISE} == {name: before[name] for name in OTHERWISE}


def noted_settings(checkpoint: Path) -> dict[str, str]:
    """Of the newest micro-batch that was planned."""
    newest = max(
        (found for found in (checkpoint / "offsets").iterdir() if found.name.isdigit()), key=lambda p: int(p.name)
    )
    return dict(json.loads(newest.read_text().splitlines()[1])["conf"])


def test_the_archive_of_another_topic_is_refused(run: LayerRuns, spark: SparkSession, kafka: str) -> None:
    # Spark: "Some data may have been lost", for the first topic's partitions "have been deleted", and the advice to
    # set failOnDataLoss to false.
    other = dataclasses.replace(run.pipeline.topic, name=f"{run.pipeline.topic.name}_renamed")
    checkpoints = [run.checkpoint(archive_query(topic.name), RAW_VERSION) for topic in (run.pipeline.topic, other)]
    shutil.copytree(*checkpoints)
    with pytest.raises(UsageError, match=rf"is of topic {run.pipeline.topic.name}, but the query reads {other.name}"):
        start_archive(spark, other, run.lake, kafka, run.pipeline.window)


def test_a_field_that_is_declared_later_does_not_stop_the_archive(
    spark: SparkSession, environment: Environment, tmp_path: Path
) -> None:
    run = LayerRuns(spark, environment, Lake((tmp_path / "lake").as_uri()))
    run.produce([tick(2), tick(3)])
    run.archive()
    # Delta: DELTA_METADATA_MISMATCH at every start, while Kafka's retention goes on.
    fields = (*run.pipeline.topic.fields, Field("venue", "string", required=False))
    run.pipeline = dataclasses.replace(run.pipeline, topic=dataclasses.replace(run.pipeline.topic, fields=fields))
    text = tick(4).value.decode().replace("}", ',"venue":"X"}')
    run.produce([Arrival(text.encode(), NOON, 0)])
    run.archive()
    found = run.raw_rows().orderBy("offset").select("event.price", "event.venue").collect()
    assert [(int(row["price"]), row["venue"]) for row in found] == [(2, None), (3, None), (4, "X")]


def test_what_does_not_touch_the_state_may_change(
    ran: tuple[LayerRuns, list[Sent]],
    run: LayerRuns,
    checkpoint: Path,
    setting: Callable[[str, str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No manifest, as before Millrace wrote one; a step without state; other partitions, which Spark takes from the
    checkpoint."""
    (checkpoint / "millrace.json").unlink()
    run.stream([])
    with_transform(run, "the_same")
    setting("spark.sql.shuffle.partitions", "3")
    sent = run.stream([[tick(5)]])
    out = capfd.readouterr().out
    assert "has no millrace.json: it is taken as it is" in out
    assert "spark.sql.shuffle.partitions stays 2" in out
    assert run.speed_rows() == high_low([found for found in map(read_tick, [*ran[1], *sent]) if found])
