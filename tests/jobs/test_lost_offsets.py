"""Which offsets are lost, what of them nobody has accepted, and which intervals a lost record may belong to."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from jobs.accepted_losses import (
    AcceptedLoss,
    LostRange,
    accepted_losses,
    lacked_by_speed,
    lossy,
    ranges_of_stream,
)
from jobs.checkpoint import Checkpoint
from jobs.checkpoint_skip import note_done
from jobs.delta_log import committed_transaction
from jobs.interval import Interval
from jobs.journal import speed_reads
from jobs.lake import Lake, speed_query, speed_stream
from jobs.lost_offsets import HeldOffsets, cut_off, lost_ranges, told_ranges, unaccepted
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.progress import bootstrap_line

pytestmark = pytest.mark.both_engines

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


class Files:
    """Small files in memory."""

    def __init__(self, texts):
        self.texts = texts

    def read(self, uri):
        return self.texts.get(uri)

    def read_head(self, uri, size):
        return self.texts.get(uri, "")[:size]

    def names(self, uri):
        return [path.rpartition("/")[2] for path in self.texts if path.rpartition("/")[0] == uri]


def test_what_is_below_kafkas_first_offset_and_unread_is_lost():
    held = HeldOffsets(None, {0: (10, 20), 1: (0, 5), 2: (7, 7), 3: (4, 9)})
    assert lost_ranges({0: 8, 1: 3, 2: 7}, held) == {0: (8, 10), 3: (0, 4)}  # 3 was added: it is read from 0
    assert lost_ranges({0: 10, 1: 0, 2: 9, 3: 4}, held) == {}


def test_what_was_read_and_is_above_kafkas_end_is_cut_off():
    held = HeldOffsets(None, {0: (0, 20), 1: (0, 5)})
    assert cut_off({0: 20, 1: 7, 2: 3}, held) == {1: (5, 7), 2: (0, 3)}
    assert cut_off({0: 19, 1: 5}, held) == {}


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        ([], {0: (10, 20)}),
        ([{0: (10, 20)}], {}),
        ([{0: (5, 30)}], {}),
        ([{0: (15, 20)}, {0: (10, 15)}], {}),
        ([{0: (10, 15)}], {0: (15, 20)}),
        ([{0: (12, 20)}], {0: (10, 20)}),
        ([{1: (10, 20)}], {0: (10, 20)}),
        ([{0: (10, 12)}, {0: (13, 20)}], {0: (12, 20)}),
    ],
)
def test_a_hole_is_accepted_when_acknowledgements_cover_all_of_it(accepted, left):
    assert unaccepted({0: (10, 20)}, accepted) == left


def test_ranges_are_told_with_their_last_offset():
    assert (
        told_ranges({1: (1000, 2000), 0: (3, 4)})
        == "partition 0: offsets 3 to 3 (1); partition 1: offsets 1,000 to 1,999 (1,000)"
    )


def test_an_interval_is_touched_when_a_lost_record_may_belong_to_it():
    lost = LostRange(0, 1, 2, "retention loss", NOON, NOON + 2 * HOUR)
    hours = [number for number in range(-4, 5) if lost.touches(NOON + number * HOUR, NOON + (number + 1) * HOUR)]
    assert hours == [-1, 0, 1, 2]  # the one that ends at the first moment, and the one that begins at the last
    ever = LostRange(0, 1, 2, "retention loss", None, NOON)
    assert ever.touches(NOON - 10_000 * HOUR, NOON - 9_999 * HOUR)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ([], ["5 offsets of partition 0 (2 to 6)", "1 offsets of partition 1 (7 to 7)"]),
        ([(0, 2, 4), (0, 4, 7)], ["1 offsets of partition 1 (7 to 7)"]),
        ([(0, 3, 7), (1, 7, 8)], ["5 offsets of partition 0 (2 to 6)"]),
    ],
)
def test_of_what_a_stream_has_skipped_only_what_is_archived_makes_its_rows_partial(lost, told):
    """Of the rest it is known better when it was sent: here, long ago."""
    ever = NOON - 10_000 * HOUR
    ranges = [LostRange(*each, "retention loss", ever, ever) for each in lost]
    stream = Lake("").checkpoint("stock_high_low__speed", "v1")
    skips = {0: (2, 7), 1: (7, 8)}
    losses = [
        AcceptedLoss("1", "stock_ticks", None, "ada", NOON, "why", {}, {stream: skips}, []),
        AcceptedLoss("2", "stock_ticks", None, "bob", NOON, "why", {}, {}, ranges),
    ]
    day = Interval.of(NOON, 24 * HOUR)
    found = lacked_by_speed(losses, stock_high_low, "v1", day)
    assert found == [f"the speed layer has skipped {each}, accepted by ada on {NOON:%Y-%m-%d}: why" for each in told]
    assert lacked_by_speed(losses, stock_high_low, "v2", day) == []
    days = [Interval(day.start + number * 24 * HOUR, day.end + number * 24 * HOUR) for number in range(-9, 4)]
    assert lossy(losses, stock_high_low, "v1", [each.id for each in days]) == [each.id for each in days[:11]]


def test_ids_of_a_topic_are_the_same_in_both_alphabets_of_base_64():
    held = HeldOffsets("aZ-_Q", {})
    assert not held.is_other("aZ+/Q==")
    assert not held.is_other(None)
    assert held.is_other("aZ+/R")


def test_an_acknowledgement_is_read_back_as_it_was_written():
    loss = AcceptedLoss(
        "id", "t", "abc", "ada", NOON, "why", {0: (5, 9)}, {"checkpoints/archive__t/1": {0: (2, 5)}},
        [LostRange(0, 2, 5, "retention loss", None, NOON), LostRange(1, 0, 1, "truncation", NOON, NOON + HOUR)],
    )  # fmt: skip
    folder = Lake("abfs://x").accepted_losses("t")
    files = Files({f"{folder}/id.json": json.dumps(loss.to_json()), f"{folder}/id.json.draft": "half"})
    assert accepted_losses(files, Lake("abfs://x"), "t") == [loss]
    assert list(ranges_of_stream([loss], "checkpoints/archive__t/1")) == [{0: (2, 5)}]
    assert list(ranges_of_stream([loss], "checkpoints/other/1")) == []


def test_the_last_transaction_is_found_in_a_log_of_many_writers():
    def commit(*transactions):
        actions = [{"txn": {"appId": name, "version": number}} for name, number in transactions]
        return "\n".join(json.dumps(action) for action in [{"commitInfo": {"txnId": "a"}}, *actions])

    log = {0: commit(), 1: commit(("a", 0)), 2: commit(("a", 1)), 3: commit(("b", 0))}
    files = Files({f"t/_delta_log/{number:020}.json": text for number, text in log.items()})
    assert committed_transaction(files, "t", "a") == 1
    assert committed_transaction(files, "t", "c") is None


def test_a_version_that_was_fed_from_the_archive_has_counted_nothing_of_what_the_archive_lacks():
    """Else every unexplained difference of an interval that a loss touches would be called an accepted loss."""
    lake, version = Lake(""), "v2"
    checkpoint, folder = (
        lake.checkpoint(speed_query(stock_high_low.name), version),
        lake.progress_folder(speed_stream(stock_high_low.name, version)),
    )
    first, kafka = {"stock_ticks": {"0": 10}}, {"stock_ticks": {"0": 40}}
    about = json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": 0})
    files = Files(
        {
            f"{checkpoint}/metadata": '{"id": "q"}',
            f"{checkpoint}/sources/0/0": "\0v1\n" + json.dumps(first),
            f"{checkpoint}/offsets/3": f"v1\n{about}\n{json.dumps(kafka)}",
        }
    )
    fed = bootstrap_line(Checkpoint(files, checkpoint), 3, NOON)
    read = {**fed, "batch_id": 4, "start_offsets": kafka, "end_offsets": {"stock_ticks": {"0": 50}}}
    del read["from_archive"]
    files.texts[f"{folder}/2026-11-20.jsonl"] = "\n".join(map(json.dumps, (fed, read)))
    reads = speed_reads(files, lake, stock_high_low, version, {0: (10, 49)})
    assert [(each.first, each.after) for each in reads.reads] == [(10, 40), (40, 50)]
    assert reads.from_kafka(0, 20, 30) == []
    assert [each.batch_id for each in reads.from_kafka(0, 39, 41)] == [4]
    assert reads.from_kafka(1, 39, 41) == []


@pytest.mark.parametrize(("planned", "committed", "written", "noted"), [
    ([], [], -1, []),
    ([0], [], -1, []),
    ([0], [], 0, ["0"]),
    ([0, 1], [0], 1, ["1"]),
    ([0, 1], [0, 1], 1, []),
])  # fmt: skip
def test_only_a_planned_micro_batch_that_the_sink_holds_is_noted_as_done(planned, committed, written, noted):
    class Writable(Files):
        def create(self, uri, text):
            self.texts[uri] = text
            return True

    entry = 'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1}\n{"t":{"0":5}}'
    texts = {f"c/offsets/{batch}": entry for batch in planned}
    texts.update({f"c/commits/{batch}": "" for batch in committed})
    files = Writable(texts)
    assert note_done(files, "c", written) is bool(noted)
    assert sorted(files.names("c/commits")) == sorted([*map(str, committed), *noted])
