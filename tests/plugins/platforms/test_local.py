"""The local platform with real processes: small Python programs in place of Spark drivers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from jobs.errors import MillraceError
from millrace.platforms.local import LocalPlatform
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.local_tree import session_members
from millrace.platforms.protocol import JobState, SparkJob

SLEEP = "import time; print('started', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0);"
    "print('started', flush=True); time.sleep(600)"
)
POLITE = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    "print('started', flush=True); time.sleep(600)"
)
OWN_PROCESS = """
import sys
from pathlib import Path
from millrace.platforms.local import LocalPlatform
from millrace.platforms.protocol import SparkJob
platform = LocalPlatform(Path(sys.argv[1]), lambda job, folder: ([sys.executable, "-c", *job.arguments], {}))
print(platform.submit(SparkJob("query", ("import time; time.sleep(600)",), sys.argv[2])).id)
"""


def job(script: str, name: str = "query", owner: str = "me") -> SparkJob:
    return SparkJob(name, (script,), owner)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    platform = LocalPlatform(tmp_path / "jobs", lambda job, _: ([sys.executable, "-c", *job.arguments], {}))
    yield platform
    for running in platform.live_jobs():
        platform.cancel(running.id, timedelta(0))


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def started(platform: LocalPlatform, job_id: str) -> dict[str, int]:
    wait_for(lambda: platform.logs(job_id, 1) == ["started"])
    process: dict[str, int] = JobFolder(platform.root / job_id).read("process.json")
    return process


def ended(platform: LocalPlatform, job_id: str) -> None:
    wait_for(lambda: platform.state(job_id).state is not JobState.RUNNING)


@pytest.mark.parametrize(("code", "state"), [(0, JobState.SUCCEEDED), (3, JobState.FAILED)])
def test_an_ended_job_tells_its_exit_code_and_its_last_lines(
    platform: LocalPlatform, code: int, state: JobState
) -> None:
    running = platform.submit(job(f"for n in range(50): print('line', n)\nraise SystemExit({code})"))
    ended(platform, running.id)
    status = platform.state(running.id)
    assert (status.state, status.exit_code) == (state, code)
    assert status.ended_at is not None
    assert status.ended_at >= status.started_at
    assert platform.logs(running.id, 2) == ["line 48", "line 49"]


def test_a_live_job_is_found_by_its_name_until_it_ends(platform: LocalPlatform) -> None:
    running = platform.submit(job(SLEEP, owner="first"))
    assert platform.find("query") == running
    assert platform.find("other") is None
    assert platform.state(running.id).state is JobState.RUNNING
    platform.cancel(running.id, timedelta(seconds=1))
    assert platform.find("query") is None


def test_a_second_submission_returns_the_live_job_and_its_owner(platform: LocalPlatform) -> None:
    first = platform.submit(job(SLEEP, owner="first"))
    assert platform.submit(job(SLEEP, owner="second")) == first
    assert first.owner == "first"


def test_many_who_submit_at_once_from_several_processes_start_one_job(platform: LocalPlatform, tmp_path: Path) -> None:
    def submit(number: int) -> str:
        command = [sys.executable, "-c", OWN_PROCESS, str(platform.root), str(number)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(submit, range(4)))) == 1
    assert len(platform.live_jobs()) == 1


def test_a_job_lives_on_when_its_submitter_has_ended_and_is_adopted_by_name(platform: LocalPlatform) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", OWN_PROCESS, str(platform.root), "gone"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    adopted = platform.submit(job(SLEEP, owner="new"))
    assert (adopted.id, adopted.owner) == (done.stdout.strip(), "gone")


def test_a_killed_driver_is_a_failure_with_the_code_of_its_signal(platform: LocalPlatform) -> None:
    running = platform.submit(job(SLEEP))
    os.kill(started(platform, running.id)["driver"], signal.SIGKILL)
    ended(platform, running.id)
    status = platform.state(running.id)
    assert (status.state, status.exit_code) == (JobState.FAILED, 128 + signal.SIGKILL)


def test_a_driver_whose_watcher_was_killed_still_runs_and_holds_its_name(platform: LocalPlatform) -> None:
    running = platform.submit(job(SLEEP))
    process = started(platform, running.id)
    watcher = psutil.Process(process["watcher"])
    watcher.kill()
    wait_for(lambda: not watcher.is_running() or watcher.status() == psutil.STATUS_ZOMBIE)
    assert platform.state(running.id).state is JobState.RUNNING
    assert platform.submit(job(SLEEP)).id == running.id
    os.kill(process["driver"], signal.SIGKILL)
    ended(platform, running.id)
    status = platform.state(running.id)
    assert (status.state, status.exit_code) == (JobState.LOST, None)


def test_a_driver_whose_watcher_was_killed_can_be_cancelled(platform: LocalPlatform) -> None:
    running = platform.submit(job(SLEEP))
    process = started(platform, running.id)
    os.kill(process["watcher"], signal.SIGKILL)
    platform.cancel(running.id, timedelta(seconds=5))
    assert platform.state(running.id).state is JobState.CANCELLED
    assert session_members(process["watcher"]) == []


def test_a_reused_process_id_is_not_taken_for_a_live_job(platform: LocalPlatform) -> None:
    """After a reboot the ids in the folder may belong to others; here they belong to this very test."""
    running = platform.submit(job("pass"))
    ended(platform, running.id)
    folder = JobFolder(platform.root / running.id)
    (folder.path / "exit.json").unlink()
    folder.write("process.json", {"watcher": os.getsid(0), "driver": os.getpid()})
    assert platform.state(running.id).state is JobState.LOST
    platform.cancel(running.id)  # and we live to tell


def test_cancel_asks_before_it_kills(platform: LocalPlatform) -> None:
    running = platform.submit(job(POLITE))
    started(platform, running.id)
    platform.cancel(running.id, timedelta(seconds=10))
    assert platform.state(running.id).exit_code == 0


def test_cancel_kills_the_whole_tree_of_a_stubborn_job(platform: LocalPlatform) -> None:
    running = platform.submit(job(STUBBORN))
    session = started(platform, running.id)["watcher"]
    wait_for(lambda: len(session_members(session)) == 3)
    platform.cancel(running.id, timedelta(milliseconds=200))
    assert platform.state(running.id).state is JobState.CANCELLED
    wait_for(lambda: session_members(session) == [])


def test_a_command_that_cannot_start_is_a_failure_that_says_so(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path, lambda *_: (["/no/such/program"], {}))
    running = platform.submit(job(""))
    ended(platform, running.id)
    assert platform.state(running.id).exit_code == 127
    assert "/no/such/program" in platform.logs(running.id, 1)[0]


def test_a_launch_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuse(*_: object) -> tuple[list[str], dict[str, str]]:
        raise MillraceError("no jars")

    platform = LocalPlatform(tmp_path, refuse)
    with pytest.raises(MillraceError, match="no jars"):
        platform.submit(job(SLEEP))
    assert platform.find("query") is None
    assert not list(tmp_path.glob("2*"))


def test_secrets_and_scratch_files_go_when_the_job_ends(tmp_path: Path) -> None:
    def launch(job: SparkJob, folder: JobFolder) -> tuple[list[str], dict[str, str]]:
        folder.properties.write_text("key secret")
        return [sys.executable, "-c", *job.arguments], {}

    platform = LocalPlatform(tmp_path, launch)
    running = platform.submit(job("open('here', 'w')"))
    ended(platform, running.id)
    folder = JobFolder(tmp_path / running.id)
    assert not folder.properties.exists()
    assert not folder.scratch.exists()


def test_only_the_newest_jobs_of_a_family_are_kept_and_live_ones_always(platform: LocalPlatform) -> None:
    live = platform.submit(job(SLEEP, name="p__batch.live"))
    for number in range(22):
        ended(platform, platform.submit(job("pass", name=f"p__batch.{number}")).id)
    names = [JobFolder(path).running_job().name for path in sorted(platform.root.glob("2*"))]
    assert names == ["p__batch.live", *(f"p__batch.{number}" for number in range(1, 22))]
    assert platform.state(live.id).state is JobState.RUNNING


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden"])
def test_a_name_that_is_unsafe_in_paths_is_refused(platform: LocalPlatform, name: str) -> None:
    with pytest.raises(MillraceError, match="rename it"):
        platform.submit(job(SLEEP, name=name))


def test_an_unknown_job_is_an_error_with_a_remedy(platform: LocalPlatform) -> None:
    with pytest.raises(MillraceError, match="no such job"):
        platform.state("20200101T000000000000-abc--query")
