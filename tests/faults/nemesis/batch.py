"""Batch runs, killed at named points: the interval is never half published, and the next run makes it whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.lake.published import Publication
from millrace.lake.tables import open_table
from tests.faults.nemesis.fault import Fault
from tests.faults.scene import BatchRun, Scene
from tests.faults.waiting import PATIENCE, await_true

__all__ = ["BATCH_FAULTS"]

_LAKE = Lake("")
_BATCH = _LAKE.batch(stock_high_low.name)


def kill_before_commit(scene: Scene) -> str:
    """The rows' files are written, no commit names them."""
    day = scene.chance.choice(scene.days)
    before, run = scene.served(day), scene.reprocess(day)
    try:
        job = run.driver()
        folder = f"{_BATCH}/_interval={scene.interval(day).id}/_run={job.owner}"
        files: list[str] = []

        def has_data(_: str) -> bool:
            files[:] = [path for path in scene.stack.store.list(folder) if path.endswith(".parquet")]
            return bool(files)

        # The first commit may be the one that creates the table.
        _hold(scene, run, rf"{_BATCH}/_delta_log/\d{{20}}\.json$", has_data, lambda: run.kill_driver(job))
        assert _rows(scene, day, job.owner) == 0, "the commit went through all the same"
        _check_failed(scene, run, day, before)
    finally:
        run.end()
    return f"{day:%Y-%m-%d}: driver killed with {len(files)} files written and no commit; {_state(before)}"


def kill_before_publish(scene: Scene) -> str:
    """The rows are in the table, and the run has no result yet."""
    day = scene.chance.choice(scene.days)
    before, run = scene.served(day), scene.reprocess(day)
    try:
        job = run.driver()
        result = _LAKE.run_result(stock_high_low.name, job.owner)
        _hold(scene, run, f"{result}$", lambda _: True, lambda: run.kill_driver(job))
        rows = _rows(scene, day, job.owner)
        assert rows, "the run has no rows in the table"
        _check_failed(scene, run, day, before)
    finally:
        run.end()
    return f"{day:%Y-%m-%d}: driver killed with {rows} rows committed; they are not shown, {_state(before)}"


def kill_publisher_before_commit(scene: Scene) -> str:
    """All is done but the commit to `published`."""
    day = scene.chance.choice(scene.days)
    before, run = scene.served(day), scene.reprocess(day)
    try:
        _hold(scene, run, r"/published/_delta_log/\d{20}\.json$", lambda _: True, run.kill)
        after = scene.served(day)
        assert (after and after.run) == (before and before.run), "it was published all the same"
    finally:
        run.end()
    return f"{day:%Y-%m-%d}: publisher killed before its commit; {_state(before)}"


def kill_publisher_after_commit(scene: Scene) -> str:
    """The commit to `published` stands, nobody heard of it, and nothing that follows is done."""
    day = scene.chance.choice(scene.days)
    before, run = scene.served(day), scene.reprocess(day)

    def is_published(_: str) -> bool:
        found = scene.served(day)
        return found is not None and (before is None or found.run != before.run)

    try:
        # The first commit may be the one that creates the table.
        _hold(scene, run, r"/published/_delta_log/\d{20}\.json$", is_published, run.kill, after=True)
        after = scene.served(day)
        assert after is not None
    finally:
        run.end()
    seen = await_true("the reader to see the run", lambda: scene.reader.answers.get((after.interval.id, after.run)))
    return f"{day:%Y-%m-%d}: publisher killed after its commit; {after.run} is served, {len(seen.rows)} rows"


def two_runs_at_once(scene: Scene) -> str:
    """Of two runs of one interval at the same time, one is served, and both end well."""
    day = scene.chance.choice(scene.days)
    runs = [scene.reprocess(day) for _ in range(2)]
    try:
        codes = [run.result() for run in runs]
        assert codes == [0, 0], [run.output for run in runs]
    finally:
        for run in runs:
            run.end()
    served = scene.served(day)
    names = {str(result["run"]) for run in runs for result in run.results}
    assert served is not None
    assert served.run in names, f"{served.run} is served, and {names} were run"
    published = [result["published"] for run in runs for result in run.results]
    return f"{day:%Y-%m-%d}: {len(names)} runs, published: {published}; {served.run} is served"


def _hold(
    scene: Scene,
    run: BatchRun,
    pattern: str,
    is_it: Callable[[str], bool],
    strike: Callable[[], None],
    *,
    after: bool = False,
) -> None:
    """Holds PUTs of `pattern`, lets them go until `is_it` is true of one, and strikes then; that one is dropped."""
    while True:
        with scene.stack.proxy.trap("PUT", pattern, after=after) as trap:
            blob = trap.await_request(PATIENCE, run.ended)
            if is_it(blob):
                strike()
                return
            trap.release()


def _check_failed(scene: Scene, run: BatchRun, day: datetime, before: Publication | None) -> None:
    code = run.result(timedelta(minutes=1))
    assert code == 1, f"the command ended with {code}, though its driver was killed: {run.output}"
    after = scene.served(day)
    assert (after and after.run) == (before and before.run), "another run is served"


def _rows(scene: Scene, day: datetime, run: str) -> int:
    table = open_table(scene.stack.direct, f"{scene.stack.direct.lake}/{_BATCH}")
    if table is None:
        return 0
    filters = [("_interval", "=", _interval(day).id), ("_run", "=", run)]
    return int(table.to_pyarrow_table(partitions=filters, columns=["symbol"]).num_rows)


def _interval(day: datetime) -> Interval:
    return Interval.of(day, stock_high_low.interval)


def _state(before: Publication | None) -> str:
    return f"{before.run} is still served" if before else "the speed layer still serves it"


BATCH_FAULTS = {
    fault.name: fault
    for fault in (
        Fault("batch driver killed between data files and commit", kill_before_commit),
        Fault("batch driver killed between commit and publish", kill_before_publish),
        Fault("publisher killed before its commit", kill_publisher_before_commit),
        Fault("publisher killed between publish and clean-up", kill_publisher_after_commit),
        Fault("two runs of one interval at once", two_runs_at_once),
    )
}
