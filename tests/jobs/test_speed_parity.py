"""What the gate hears of a speed layer with a hole, or with events that the archive has lost: on both engines."""

from __future__ import annotations

import pytest

from jobs.journal import Read, Reads
from jobs.verdicts import verdict
from tests.jobs.speed_history import NOON, SpeedHistory
from tests.parity.windowed import in_bursts

pytestmark = pytest.mark.both_engines


def test_what_later_micro_batches_read_on_behind_is_no_longer_yet_to_be_read():
    read = Read(2, "", 0, 8, 12, None)
    reads = Reads([read], {0: 4}, 2, ends={0: 12}, skipped=[(0, 6, 8)])
    found = [verdict(reads, reads.find(0, offset), 0, offset, NOON, False) for offset in (3, 4, 5, 6, 7, 8, 11, 12)]
    hole, skipped = ["unexplained"] * 2, ["accepted loss"] * 2
    assert found == ["before the stream started", *hole, *skipped, None, None, "not yet read"]
    assert verdict(reads, None, 1, 0, NOON, False) == "not yet read", "a partition that nobody has read of yet"


def test_a_micro_batch_that_is_nowhere_is_unexplained_and_not_yet_to_be_read(spark, local_lake):
    history = SpeedHistory(spark, local_lake, [0, 1, 2, 3, 4], ends=[1, 3, 4], forgotten=[1])
    assert history.causes(range(5), coverage=5) == {1: "unexplained", 2: "unexplained", 4: "not yet read"}


def test_a_hole_counts_also_where_an_honest_difference_hides_it(spark, local_lake):
    """In minute 0 what is yet to be read changes batch's row as well; in minute 5 nothing is wrong."""
    minutes = [0, 0, 5, 0, 5]
    history = SpeedHistory(spark, local_lake, minutes, ends=[1, 2, 3], forgotten=[1])
    assert history.causes(range(5), coverage=5) == {0: "unexplained", 5: "not yet read"}


def test_a_loss_explains_only_rows_that_a_micro_batch_wrote_which_read_lost_records(spark, local_lake):
    """The archive lacks offsets 3 and 4, which micro-batch 1 counted in minutes 1 and 3."""
    history = SpeedHistory(spark, local_lake, [0, 1, 2, 1, 3, 4], ends=[3, 5, 6])
    history.accept_loss(3, 5)
    history.change(minute=0, batch=0)
    history.change(minute=4, batch=2)
    found = history.causes([0, 1, 2, 5], coverage=6)
    assert found == {0: "unexplained", 1: "accepted loss", 3: "accepted loss", 4: "unexplained"}


def test_a_row_that_only_batch_has_holds_nothing_that_was_lost(spark, local_lake):
    """The speed layer has counted minute 2 and has no row of it: that others were lost is no reason."""
    history = SpeedHistory(spark, local_lake, [0, 1, 2, 1], ends=[1, 4])
    history.remove(minute=2, batch=1)
    history.accept_loss(3, 4)
    assert history.causes([0, 1, 2], coverage=4) == {1: "accepted loss", 2: "unexplained"}


def test_a_loss_explains_only_sessions_that_were_open_when_lost_records_were_read(spark, local_lake):
    """Gaps of 5 minutes: one session was closed before micro-batch 1 read what the archive lacks, one is open still."""
    history = SpeedHistory(
        spark, local_lake, [0, 20, 21, 50], ends=[1, 3, 4], watermarks=[10, 19, 48], pipeline=in_bursts
    )
    history.accept_loss(2, 3)
    history.change(minute=0, batch=0)
    found = history.causes([0, 1, 3], coverage=4)
    assert found == {0: "unexplained", 20: "accepted loss", 50: "not yet closed"}


def test_a_session_that_a_hole_has_swallowed_is_unexplained(spark, local_lake):
    history = SpeedHistory(
        spark,
        local_lake,
        [0, 20, 21, 50],
        ends=[1, 3, 4],
        forgotten=[1],
        watermarks=[10, 19, 48],
        pipeline=in_bursts,
    )
    assert history.causes(range(4), coverage=4) == {20: "unexplained", 50: "not yet closed"}
