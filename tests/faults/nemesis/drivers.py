"""The drivers of the streams: killed at named points, paused, two at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from jobs.lock import EXPIRY
from millrace.platforms.local import LocalPlatform
from millrace.platforms.protocol import JobState, RunningJob
from tests.end_to_end.drivers import driver_processes
from tests.faults.nemesis.fault import Fault
from tests.faults.scene import Scene
from tests.faults.signals import kill, stand_still, stopped
from tests.faults.streams import Stream
from tests.faults.waiting import PATIENCE, await_true

__all__ = ["DRIVER_FAULTS"]

_LOCK_HELD = 3
_TRIES = 3


def kill_between_data_and_commit(scene: Scene, stream: Stream) -> str:
    """The proxy holds the commit; the driver dies; the commit is dropped.

    Data files of a micro-batch that was under way before may have been seen as earlier ones: the next is taken then.
    """
    for _ in range(_TRIES):
        earlier = stream.orphans()
        with scene.stack.proxy.trap("PUT", rf"{stream.table}/_delta_log/\d{{20}}\.json$") as trap:
            blob = trap.await_request(PATIENCE)
            batch, written = stream.planned(), stream.written()
            files = stream.orphans() - earlier
            if not files:
                trap.release()
                continue
            assert written < batch, f"micro-batch {batch} was committed already"
            job = _kill(stream)
        assert stream.written() == written, "the commit went through all the same"
        _await_successor(stream, job)
        stream.await_batch(batch)
        return (
            f"driver {_short(job)} killed in micro-batch {batch} with {len(files)} data files written and no commit; "
            f"its successor has written it"
        )
    raise AssertionError(f"{blob} and {_TRIES - 1} before it were about to be written, and there was no new data file")


def kill_between_commit_and_checkpoint(scene: Scene, stream: Stream) -> str:
    """The table has the micro-batch, Spark's checkpoint does not know: it is replayed, and must change nothing."""
    job = None
    while job is None:
        with scene.stack.proxy.trap("PUT", rf"{stream.checkpoint}/commits/\d+$") as trap:
            batch = int(trap.await_request(PATIENCE).rpartition("/")[2])
            if not stream.read_records(batch):
                trap.release()  # of such a one the table has nothing
                continue
            assert stream.written() == batch, f"micro-batch {batch} ends, and is not in the table"
            assert stream.committed() < batch, f"the checkpoint has micro-batch {batch} already"
            job = _kill(stream)
    assert stream.committed() < batch, "the checkpoint's commit went through all the same"
    _await_successor(stream, job)
    stream.await_batch(batch)
    return f"driver {_short(job)} killed with micro-batch {batch} in the table and not in the checkpoint; replayed"


def kill_anywhere(scene: Scene, stream: Stream) -> str:
    """At whatever line it is."""
    job = _kill(stream)
    _await_successor(stream, job)
    return f"driver {_short(job)} killed; another runs"


def pause(scene: Scene, stream: Stream) -> str:
    """SIGSTOP, for less than the lock lasts, then SIGCONT: the same driver goes on."""
    job = stream.running()
    victims = stream.processes(job)
    with stopped(victims):
        # What the storage had been asked already may still come in.
        before = _settled(stream)
        seconds = scene.chance.uniform(6, 10)
        stand_still(seconds)
        assert stream.planned() == before, "a stopped driver planned a micro-batch"
    stream.await_batch(before + 1)
    assert stream.driver().id == job.id, "the driver did not outlive its pause"
    return f"driver {_short(job)} stood still for {seconds:.0f} s at micro-batch {before}, and went on"


def two_at_once(scene: Scene, stream: Stream) -> str:
    """Two machines start a driver at the same moment: one runs, the other one says who does."""
    with scene.unkept(stream):
        kill(stream.processes(stream.running()))
        await_true(f"the end of {stream.title}", lambda: stream.platform.find(stream.job_name) is None)
        platforms = [scene.stack.other_machine(name) for name in ("one", "two")]
        jobs = [p.submit(stream.make_job(scene.stack.environment, f"{p.root.name}.1")) for p in platforms]
        pairs = list(zip(platforms, jobs, strict=True))
        loser = await_true(f"one of two drivers of {stream.title} to be refused", lambda: _refused(pairs))
        winner = next(pair for pair in pairs if pair != loser)
        said = next(line for line in reversed(loser[0].logs(loser[1].id, 400)) if line.startswith("millrace: query"))
        assert f"is run by owner '{winner[1].owner}'" in said, said
        batch = stream.await_batch(stream.planned() + 1)
        kill(driver_processes(winner[0], winner[1]))
    stream.await_batch(batch + 1)
    return f"exit code {_LOCK_HELD} and the holder's name for {loser[1].owner}, while {winner[1].owner} ran on"


def take_over_from_sleeper(scene: Scene, stream: Stream) -> str:
    """A driver sleeps longer than its lock lasts, another takes over, the first wakes up."""
    with scene.unkept(stream):
        sleeper = stream.running()
        with stopped(stream.processes(sleeper)):
            before = _settled(stream)
            other = scene.stack.other_machine("other")
            job = _take_over(other, stream, scene)
            stream.await_batch(before + 1)
        end = await_true("the sleeper's end", lambda: _ended(stream.platform, sleeper))
        assert end != 0, "the sleeper did not notice that it had lost its lock"
        assert other.find(stream.job_name) == job, "the driver that took over has ended"
        kill(driver_processes(other, job))
    stream.await_batch(before + 2)
    slept = f"{_short(sleeper)} slept longer than {EXPIRY.seconds} s, another took over"
    return f"{slept}; it woke up and ended itself (exit code {end})"


def _take_over(platform: LocalPlatform, stream: Stream, scene: Scene) -> RunningJob:
    """Starts drivers until one gets the lock: it is free when the sleeper's has expired."""

    def holds() -> RunningJob | None:
        platform.submit(stream.make_job(scene.stack.environment, "other.1"))
        return stream.runs(platform)

    return await_true("another driver to take the lock", holds, PATIENCE, poll_s=1)


def _refused(pairs: list[tuple[LocalPlatform, RunningJob]]) -> tuple[LocalPlatform, RunningJob] | None:
    return next((pair for pair in pairs if _ended(*pair) == _LOCK_HELD), None)


def _ended(platform: LocalPlatform, job: RunningJob) -> int | None:
    status = platform.state(job.id)
    return None if status.state is JobState.RUNNING else status.exit_code


def _kill(stream: Stream) -> RunningJob:
    job = stream.driver()
    victims = await_true(f"processes of {job.id}", lambda: stream.processes(job))
    kill(victims)
    return job


def _await_successor(stream: Stream, job: RunningJob) -> None:
    await_true(f"the end of {job.id}", lambda: stream.driver().id != job.id)


def _settled(stream: Stream) -> int:
    """The newest micro-batch, when it has been the newest for a second."""
    seen = [stream.planned()]

    def same() -> bool:
        seen.append(stream.planned())
        return seen[-1] == seen[-2]

    await_true(f"{stream.title} to stand still", same, timedelta(seconds=30), poll_s=1)
    return seen[-1]


def _short(job: RunningJob) -> str:
    return job.id.partition("-")[0]


def _faults(stream: str) -> list[Fault]:
    def on(do: Callable[[Scene, Stream], str]) -> Callable[[Scene], str]:
        return lambda scene: do(scene, getattr(scene, stream))

    what = {"archive": "archive driver", "speed": "speed driver"}[stream]
    return [
        Fault(f"{what} killed between data files and commit", on(kill_between_data_and_commit)),
        Fault(f"{what} killed between commit and checkpoint", on(kill_between_commit_and_checkpoint)),
        Fault(f"{what} killed anywhere", on(kill_anywhere)),
        Fault(f"{what} paused", on(pause)),
        Fault(f"two {what}s at once", on(two_at_once)),
        Fault(f"{what} asleep for longer than its lock", on(take_over_from_sleeper)),
    ]


DRIVER_FAULTS = {fault.name: fault for stream in ("archive", "speed") for fault in _faults(stream)}
