"""The ledger over a topic's life: archive and Kafka are real, the archive's rows are written by hand."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from jobs.errors import MillraceError
from jobs.lake import Lake
from millrace.environment import Environment
from millrace.lake.ledger import LedgerReport, update_ledger
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table
from tests.plugins.lake.ledger.kafka_records import (
    create_topic,
    delete_records,
    delete_topic,
    send,
    send_transaction,
)
from tests.plugins.lake.ledger.raw_rows import archive, new_topic, open_raw, write_checkpoint


@pytest.fixture
def topic(kafka: str) -> str:
    """An empty topic with one partition."""
    name = new_topic()
    create_topic(kafka, name)
    return name


def told(report: LedgerReport) -> list[tuple[str, int, int]]:
    return sorted((e.kind, e.start, e.end) for e in report.ledger.entries)


def data_files(environment: Environment, topic: str) -> list[str]:
    return [path for path in LakeStore(environment).list(f"raw/{topic}") if path.endswith(".parquet")]


def ledger_version(environment: Environment, topic: str) -> int:
    table = open_table(environment, Lake(environment.lake).ledger(topic))
    assert table is not None
    return table.version()


def test_a_topic_without_archive_is_refused_and_gets_no_ledger(own_lake: Environment) -> None:
    with pytest.raises(MillraceError, match="has no raw archive"):
        update_ledger(own_lake, "nothing")
    assert open_table(own_lake, Lake(own_lake.lake).ledger("nothing")) is None


def test_an_archive_without_gaps_is_complete_and_its_lag_is_told(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 12)
    archive(own_lake, topic, range(10))
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 10)]
    assert report.ledger.is_complete
    assert (report.ledger.records(0), report.lag(0)) == (10, 2)


def test_micro_batches_that_touch_are_one_range(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 30)
    for number in range(3):
        archive(own_lake, topic, range(number * 10, number * 10 + 10))
        report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 30)]


def test_an_update_opens_only_the_files_of_new_commits(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 20)
    archive(own_lake, topic, range(10))
    update_ledger(own_lake, topic)
    old = data_files(own_lake, topic)
    for path in old:
        LakeStore(own_lake).write(path, b"unreadable")
    archive(own_lake, topic, range(10, 20))
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 20)]
    # What reads the old files fails: the ledger would have, had it counted all of them.
    with pytest.raises(Exception, match=r"(?i)parquet|footer|size|range"):
        open_raw(own_lake, topic).to_pyarrow_table()


def test_nothing_new_is_no_commit(own_lake: Environment, kafka: str, topic: str) -> None:
    send_transaction(kafka, topic, 3, commit=True)
    send(kafka, topic, 1)
    archive(own_lake, topic, [0, 1, 2, 4])
    first = update_ledger(own_lake, topic)
    before = ledger_version(own_lake, topic)
    assert update_ledger(own_lake, topic).ledger == first.ledger
    assert ledger_version(own_lake, topic) == before


def test_a_record_that_kafka_has_and_the_archive_lacks_is_missing_until_it_is_archived(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 10)
    archive(own_lake, topic, [0, 1, 2, 3, 4, 6, 7, 8, 9])
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 5), ("archived", 6, 10), ("missing", 5, 6)]
    assert not report.ledger.is_complete
    archive(own_lake, topic, [5])
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 10)]
    assert report.ledger.is_complete


def test_a_row_that_stands_twice_is_doubled(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 10)
    archive(own_lake, topic, range(6))
    update_ledger(own_lake, topic)
    archive(own_lake, topic, [4, 5, 6, 7, 7])
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 8), ("doubled", 4, 6), ("doubled", 7, 8)]
    assert not report.ledger.is_complete
    assert report.ledger.records(0) == 8


def test_rows_that_redecoding_writes_anew_are_counted_once(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 20)
    archive(own_lake, topic, range(10))
    update_ledger(own_lake, topic)
    changed = open_raw(own_lake, topic).update(updates={"value": "'decoded'"}, predicate="offset IN (3, 4)")
    assert (changed["num_updated_rows"], changed["num_removed_files"]) == (2, 2)
    archive(own_lake, topic, range(10, 20))
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 20)]


def test_files_that_optimize_rewrote_and_vacuum_removed_change_nothing(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 10)
    archive(own_lake, topic, range(5))
    update_ledger(own_lake, topic)
    archive(own_lake, topic, range(5, 10))
    raw = open_raw(own_lake, topic)
    assert raw.optimize.compact()["numFilesRemoved"] == 4
    assert len(raw.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)) == 4
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 10)]


def test_rows_deleted_from_the_archive_are_missing(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 10)
    archive(own_lake, topic, range(10))
    update_ledger(own_lake, topic)
    assert open_raw(own_lake, topic).delete("offset IN (4, 9)")["num_deleted_rows"] == 2
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 4), ("archived", 5, 9), ("missing", 4, 5), ("missing", 9, 10)]


def test_commits_cleaned_out_of_the_log_are_made_up_for(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 12)
    archive(own_lake, topic, range(4))
    update_ledger(own_lake, topic)
    archive(own_lake, topic, range(4, 6))
    archive(own_lake, topic, range(6, 8))
    open_raw(own_lake, topic).create_checkpoint()
    for version in (0, 1):
        LakeStore(own_lake).delete(f"raw/{topic}/_delta_log/{version:020d}.json")
    archive(own_lake, topic, range(8, 12))
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 12)]


def test_another_table_in_the_place_of_the_archive_is_counted_anew(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 12)
    archive(own_lake, topic, range(12))
    update_ledger(own_lake, topic)
    for path in LakeStore(own_lake).list(f"raw/{topic}"):
        LakeStore(own_lake).delete(path)
    archive(own_lake, topic, range(3))
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 3), ("missing", 3, 12)]


def test_a_gap_keeps_its_kind_when_kafka_has_forgotten(own_lake: Environment, kafka: str, topic: str) -> None:
    send_transaction(kafka, topic, 3, commit=True)  # 0 to 2, marker 3
    send(kafka, topic, 6)  # 4 to 9
    archive(own_lake, topic, [0, 1, 2, 4, 5])
    markers = ("transaction markers", 3, 4)
    assert told(update_ledger(own_lake, topic)) == [("archived", 0, 3), ("archived", 4, 6), markers]
    delete_records(kafka, topic, before=8)
    archive(own_lake, topic, [8, 9])
    report = update_ledger(own_lake, topic)
    archived = [("archived", 0, 3), ("archived", 4, 6), ("archived", 8, 10)]
    assert told(report) == [*archived, markers, ("truncation", 6, 8)]
    assert not report.ledger.is_complete


def test_what_kafka_had_deleted_before_the_archive_began_is_no_gap_of_the_archive(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 10)
    delete_records(kafka, topic, before=4)
    archive(own_lake, topic, range(4, 10))
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 4, 10), ("before the archive", 0, 4)]
    assert report.ledger.is_complete
    delete_records(kafka, topic, before=9)
    assert told(update_ledger(own_lake, topic)) == told(report)


def test_the_checkpoint_tells_where_the_archive_began_and_up_to_where_it_went(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 6)  # 0 to 5
    send_transaction(kafka, topic, 2, commit=False)  # 6 and 7, marker 8
    write_checkpoint(own_lake, topic, first={0: 2}, ends={0: 9})
    archive(own_lake, topic, [2, 3, 4, 5], batch=0)
    report = update_ledger(own_lake, topic)
    assert told(report) == [
        ("aborted transaction", 6, 8),
        ("archived", 2, 6),
        ("before the archive", 0, 2),
        ("transaction markers", 8, 9),
    ]
    assert report.ledger.is_complete
    assert report.lag(0) == 0


def test_a_topic_that_was_deleted_and_created_again_is_told_once_and_for_ever(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 5)
    archive(own_lake, topic, range(5))
    assert update_ledger(own_lake, topic).ledger.is_complete
    delete_topic(kafka, topic)
    create_topic(kafka, topic)
    send(kafka, topic, 8)  # more than before: the offsets alone would not show it
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 5), ("topic recreated", 0, 0)]
    assert not report.ledger.is_complete
    (mark,) = report.ledger.gaps(0)
    assert mark.detail["archived_to"] == 5
    assert mark.detail["was"] != mark.detail["topic_id"]
    assert update_ledger(own_lake, topic).ledger == report.ledger


def test_a_gap_seen_first_after_the_topic_was_recreated_cannot_be_explained(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 5)
    archive(own_lake, topic, range(3))
    update_ledger(own_lake, topic)
    archive(own_lake, topic, [4])
    delete_topic(kafka, topic)
    create_topic(kafka, topic)
    send(kafka, topic, 5)
    assert ("topic recreated", 3, 4) in told(update_ledger(own_lake, topic))


def test_a_kafka_that_ends_below_an_archive_it_was_never_compared_with_is_another_topic(
    own_lake: Environment, kafka: str, topic: str
) -> None:
    send(kafka, topic, 2)
    archive(own_lake, topic, range(5))
    report = update_ledger(own_lake, topic, patience=timedelta(0))
    assert told(report) == [("archived", 0, 5), ("topic recreated", 0, 0)]
    assert update_ledger(own_lake, topic).ledger == report.ledger


def test_gaps_are_unknown_while_kafka_has_no_such_topic_and_explained_when_it_has(
    own_lake: Environment, kafka: str
) -> None:
    topic = new_topic()
    archive(own_lake, topic, [0, 1, 2, 4])
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 3), ("archived", 4, 5), ("unknown", 3, 4)]
    assert not report.ledger.is_complete
    assert report.problem
    assert report.lag(0) is None
    create_topic(kafka, topic)
    send_transaction(kafka, topic, 3, commit=True)
    send(kafka, topic, 1)
    report = update_ledger(own_lake, topic)
    assert told(report) == [("archived", 0, 3), ("archived", 4, 5), ("transaction markers", 3, 4)]
    assert report.ledger.is_complete


def test_updates_at_once_end_in_one_sound_ledger(own_lake: Environment, kafka: str, topic: str) -> None:
    send(kafka, topic, 40)
    for number in range(4):
        archive(own_lake, topic, range(number * 10, number * 10 + 10))
        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(lambda _: update_ledger(own_lake, topic), range(4)))
        assert {tuple(told(report)) for report in reports} == {(("archived", 0, number * 10 + 10),)}
    table = open_table(own_lake, Lake(own_lake.lake).ledger(topic))
    assert table is not None
    rows = table.to_pyarrow_table().to_pylist()
    assert sorted(row["kind"] for row in rows) == ["archived", "source"]
    # One commit for the empty table and one per micro-batch: the updates that lost read again and found nothing new.
    assert table.version() == 4
    (source,) = (json.loads(row["detail"]) for row in rows if row["kind"] == "source")
    assert source["raw_version"] == 3
