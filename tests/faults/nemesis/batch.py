"""Batch runs, killed at named points: the interval is never half published, and the next run makes it whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import psutil

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.lake.published import Publication
from millrace.lake.tables import open_table
from millrace.platforms.protocol import JobState
from tests.faults.nemesis.fault import Fault
from tests.faults.proxy import Trapped
from tests.faults.scene import BatchRun, Scene
from tests.faults.signals import stand_still, stopped
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


def pause_driver(scene: Scene) -> str:
    """SIGSTOP in the middle of writing, then SIGCONT: the same driver goes on, and its run is published."""
    day = scene.chance.choice(scene.days)
    run = scene.reprocess(day)
    try:
        job = run.driver()
        with scene.stack.proxy.trap("PUT", _data_files(day, job.owner)) as trap:
            trap.await_request(PATIENCE, run.ended)
            victims = run.processes(job)
            with stopped(victims):
                trap.release()
                seconds = _stand_still(scene, victims)
                assert _rows(scene, day, job.owner) == 0, "a stopped driver committed its rows"
        code = run.result()
        assert code == 0, f"the command ended with {code}, though its driver went on: {run.output}"
    finally:
        run.end()
    state, after = scene.archive.platform.state(job.id).state, scene.served(day)
    assert state is JobState.SUCCEEDED, f"the driver that was paused ended {state}"
    assert after is not None
    assert after.run == job.owner, f"{after.run} is served, not the run that was paused"
    return (
        f"{day:%Y-%m-%d}: {len(victims)} processes of the driver in state T for {seconds:.0f} s while it wrote; it went"
        f" on, and {after.run} is served"
    )


def _stand_still(scene: Scene, victims: list[psutil.Process]) -> float:
    """For how long, in seconds; fails where one of the stopped processes computes meanwhile."""
    used = [process.cpu_times()[:2] for process in victims]
    seconds = scene.chance.uniform(6, 10)
    stand_still(seconds)
    assert [process.cpu_times()[:2] for process in victims] == used, "a stopped driver computes"
    return seconds


def two_runs_at_once(scene: Scene) -> str:
    """Of two runs of one interval, whose drivers write at the same time, one is served, and both end well."""
    day = scene.chance.choice(scene.days)
    runs = [scene.reprocess(day) for _ in range(2)]
    try:
        with scene.stack.proxy.trap("PUT", _data_files(day, "([^/]+)")) as trap:
            writing = await_true("two drivers that write", lambda: _two_writing(day, runs, trap), PATIENCE * 2)
            live = {job.owner for job in scene.archive.platform.live_jobs()}
            assert writing <= live, f"{writing} were about to write, and {live} are alive"
            trap.release()
        codes = [run.result() for run in runs]
        assert codes == [0, 0], [run.output for run in runs]
    finally:
        for run in runs:
            run.end()
    served = scene.served(day)
    names = {str(result["run"]) for run in runs for result in run.results}
    assert served is not None
    assert names == writing, f"{writing} wrote at the same time, and {names} ended"
    assert served.run in names, f"{served.run} is served, and {names} were run"
    published = [result["published"] for run in runs for result in run.results]
    both = " and ".join(sorted(names))
    return f"{day:%Y-%m-%d}: {both} alive and writing at once, published: {published}; {served.run} is served"


def _two_writing(day: datetime, runs: list[BatchRun], trap: Trapped) -> set[str] | None:
    """The runs whose data files are held, once there are two."""
    ended = [why for run in runs if (why := run.ended())]
    assert not ended, f"no two drivers were alive at once: {ended}"
    pattern = _data_files(day, "([^/]+)")
    writing = {found[1] for blob in trap.caught if (found := re.search(pattern, blob))}
    return writing if len(writing) == 2 else None


def _data_files(day: datetime, run: str) -> str:
    """A pattern of the names of what a run (itself a pattern) writes before its commit."""
    return rf"{_BATCH}/_interval={_interval(day).id}/_run={run}/.*\.parquet$"


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
        Fault("publisher killed after its commit", kill_publisher_after_commit),
        Fault("batch driver paused", pause_driver),
        Fault("two runs of one interval at once", two_runs_at_once),
    )
}
