"""How a stream's driver is asked to stop by who cancels its job."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.lake import Lake
from millrace.platforms.databricks import DatabricksPlatform
from millrace.platforms.graceful import stop_gracefully
from millrace.platforms.protocol import JobState, RunningJob, SparkJob
from millrace.supervision.control import StopRequest, StreamControl
from millrace.waiting import until
from tests.plugins.supervision.fake_platform import FolderNotes

STREAM = RunningJob("7", "query", "run.1", ("archive", "--topic", "t"))
LONG, SOON = timedelta(seconds=30), timedelta(seconds=0.05)


@pytest.fixture
def notes(tmp_path: Path) -> FolderNotes:
    return FolderNotes(tmp_path / "lake")


@pytest.fixture
def control(notes: FolderNotes) -> StreamControl:
    return StreamControl(notes, "query")


def test_the_driver_is_asked_and_no_request_is_left_behind(notes: FolderNotes, control: StreamControl) -> None:
    seen: list[StopRequest | None] = []

    def has_ended() -> bool:
        seen.append(control.stop_request())
        return True

    stop_gracefully(notes, STREAM, has_ended, LONG)
    assert [request and (request.owner, request.by_supervisor) for request in seen] == [("run.1", True)]
    assert control.stop_request() is None


def test_the_wait_ends_with_the_grace(notes: FolderNotes, control: StreamControl) -> None:
    stop_gracefully(notes, STREAM, lambda: False, SOON)
    assert control.stop_request() is None


def test_a_request_that_somebody_made_stays(notes: FolderNotes, control: StreamControl) -> None:
    control.request_stop("run.1", "millrace --stop")
    stop_gracefully(notes, STREAM, lambda: True, LONG)
    request = control.stop_request()
    assert request is not None
    assert (request.reason, request.by_supervisor) == ("millrace --stop", False)


@pytest.mark.parametrize(
    ("job", "grace"),
    [(dataclasses.replace(STREAM, arguments=("reprocess",)), LONG), (STREAM, timedelta(0))],
    ids=["a batch job", "without grace"],
)
def test_nothing_is_asked_or_awaited(notes: FolderNotes, job: RunningJob, grace: timedelta) -> None:
    def never() -> bool:
        raise AssertionError

    stop_gracefully(notes, job, never, grace)
    assert not notes.folder.exists()


def test_a_lake_that_is_down_keeps_nobody_from_cancelling(databricks: DatabricksPlatform, notes: FolderNotes) -> None:
    notes.is_down = True
    platform = dataclasses.replace(databricks, notes=lambda: notes)
    running = platform.submit(SparkJob("query", ("archive", "import time; time.sleep(600)"), "run.1"))
    started = time.monotonic()
    platform.cancel(running.id, timedelta(minutes=10))
    assert platform.state(running.id).state is JobState.CANCELLED
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(("listens", "state"), [(True, JobState.SUCCEEDED), (False, JobState.CANCELLED)])
def test_a_stream_on_databricks_stops_when_it_is_asked_or_is_cancelled_after_the_grace(
    databricks: DatabricksPlatform, notes: FolderNotes, listens: bool, state: JobState
) -> None:
    platform = dataclasses.replace(databricks, notes=lambda: notes)
    request = notes.folder / Lake("").stop_request("query")
    script = (
        f"import pathlib, time; print('started', flush=True)\n"
        f"while not ({listens} and pathlib.Path({str(request)!r}).exists()): time.sleep(0.02)"
    )
    running = platform.submit(SparkJob("query", ("archive", script), "run.1"))
    assert until(lambda: "started" in platform.logs(running.id, 5), LONG, SOON)
    platform.cancel(running.id, LONG if listens else timedelta(seconds=1))
    assert platform.state(running.id).state is state
    assert platform.find("query") is None
    assert not request.exists()
