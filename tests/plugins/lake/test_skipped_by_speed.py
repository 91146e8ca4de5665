"""What one stream has skipped although the archive has it: its rows are partial until their interval is published."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.accepted_losses import AcceptedLoss
from jobs.lake import Lake, speed_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.served import served_intervals
from millrace.lake.serving import begin_serving, switch
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed

NOON = interval(1).start + timedelta(hours=12)
WHY = f"the speed layer has skipped 480 offsets of partition 0 (20 to 499), accepted by ada on {NOON:%Y-%m-%d}: why"


@pytest.fixture
def skipped(own_lake: Environment) -> Environment:
    """Two versions have speed rows of four days; v1, which is served, has published the first, and then its stream went
    on behind a skip that was accepted at noon of the second."""
    begin_serving(own_lake, stock_high_low, "v1", "test")
    for number in range(4):
        for version in ("v1", "v2"):
            write_speed(own_lake, interval(number), batch_id=1, high=1, version=version)
    publish_run(own_lake, 0)
    skips = {Lake("").checkpoint(speed_query(stock_high_low.name), "v1"): {0: (20, 500)}}
    loss = AcceptedLoss("1", "stock_ticks", None, "ada", NOON, "why", {0: (500, 900)}, skips, [])
    LakeStore(own_lake).write_json(f"{Lake('').accepted_losses('stock_ticks')}/1.json", loss.to_json())
    return own_lake


def publish_run(environment: Environment, number: int) -> None:
    write_batch(environment, interval(number), f"run-{number}", high=2)
    publish(
        environment,
        stock_high_low,
        interval(number),
        run=f"run-{number}",
        version="v1",
        certificate=certificate(1),
        result={"rows_read": 3},
    )


def told(environment: Environment) -> list[tuple[str, bool, str | None]]:
    """Layer, whether it is partial, and why, by interval: the rows' marks say the same."""
    view = read_view(environment, stock_high_low)
    marks = {(row["_interval"], row["_layer"], row["_partial"]) for row in view.to_pylist()}
    entries = served_intervals(environment, stock_high_low, view)
    assert marks == {(entry["interval"], entry["layer"], entry["partial"]) for entry in entries}
    return [(entry["layer"], entry["partial"], entry["why_partial"]) for entry in entries]


def test_speed_rows_that_may_lack_what_was_skipped_are_partial_until_they_are_published(skipped: Environment) -> None:
    """An event may be a day ahead of its record."""
    batch, whole = ("batch", False, None), ("speed", False, None)
    assert told(skipped) == [batch, ("speed", True, WHY), ("speed", True, WHY), whole]
    publish_run(skipped, 1)
    assert told(skipped) == [batch, batch, ("speed", True, WHY), whole]


def test_the_skip_of_another_version_s_stream_marks_nothing(skipped: Environment) -> None:
    switch(skipped, stock_high_low, "v2", "test", "")
    assert told(skipped) == [("batch", False, None), *[("speed", False, None)] * 3]
