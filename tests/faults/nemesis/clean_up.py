"""Between publishing and the clean-up of speed rows: whoever removes them is killed, and no answer changes by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.lake.speed_removal import removable, removed_at
from millrace.lake.tables import open_table, query
from tests.faults.nemesis.fault import Fault, await_reader
from tests.faults.scene import Scene
from tests.faults.waiting import PATIENCE

__all__ = ["CLEAN_UP_FAULTS"]

_NAME = stock_high_low.name


def kill_between_publish_and_clean_up(scene: Scene) -> str:
    """A day is published; the command has noted that it removes its speed rows, and has not.

    The oldest day alone, so that the others' speed rows are compared with the oracle in the end.
    """
    oldest, before, polls = _removable(scene)[0], _rows(scene), scene.reader.polls
    command = scene.start("remove-speed-rows", *_arguments(oldest))
    try:
        note = Lake("").speed_removed(_NAME, oldest.id)
        with scene.stack.proxy.trap("PUT", f"{note}$", after=True) as trap:
            trap.await_request(PATIENCE, command.ended)
            command.kill()
    finally:
        command.end()
    assert removed_at(scene.stack.direct, _NAME, oldest.id), "it was killed before it noted anything"
    assert _rows(scene) == before, "the rows were removed all the same"
    await_reader(scene, polls)
    return f"killed with a note of {oldest.id} and its {before[oldest.id]:,} speed rows there; the view answers"


def removed_at_last(scene: Scene) -> str:
    """The next call removes them, the view answers as before, and a repair of that day is published."""
    oldest, before, polls = _removable(scene)[0], _rows(scene), scene.reader.polls
    told = json.loads(scene.command("remove-speed-rows", *_arguments(oldest)))
    assert told["intervals"] == [oldest.id], told
    left = {interval: count for interval, count in before.items() if interval != oldest.id}
    assert _rows(scene) == left, f"left are {_rows(scene)}, expected {left}"
    await_reader(scene, polls)
    repair = scene.reprocess(oldest.start)
    try:
        assert repair.result() == 0, repair.output
    finally:
        repair.end()
    (result,) = repair.results
    assert (result["parity"], bool(result["speed_removed"])) == (None, True), result
    return f"the speed rows of {oldest.id} are gone, the view answers as before, a repair of it is published"


def _nothing_to_remove(scene: Scene) -> str | None:
    return None if _removable(scene) else "every past day is partial, or was published by nobody"


def _removable(scene: Scene) -> list[Interval]:
    return removable(scene.stack.direct, stock_high_low, datetime.now(UTC))


def _arguments(interval: Interval) -> tuple[str, ...]:
    """So that this interval is just old enough."""
    age = datetime.now(UTC) - interval.end
    return _NAME, "--older-than", str(age / timedelta(days=1)), "--json"


def _rows(scene: Scene) -> dict[str, int]:
    """Speed rows of each past day; the newest interval's grow meanwhile."""
    table = open_table(scene.stack.direct, Lake(scene.stack.direct.lake).speed(_NAME))
    past = {scene.interval(day).id for day in scene.days}
    rows = query(table, "SELECT _interval, count(*) AS n FROM rows GROUP BY _interval") if table else []
    return {row["_interval"]: int(row["n"]) for row in rows if row["_interval"] in past}


CLEAN_UP_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "killed between publish and clean-up",
            kill_between_publish_and_clean_up,
            obstacle=_nothing_to_remove,
            after=removed_at_last,
            is_last=True,
        ),
    )
}
