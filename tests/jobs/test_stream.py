"""A stream's driver holds the lock while it runs, journals, and stops when it is asked to: it alone."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from jobs.errors import LockHeldError, StopRequestedError
from jobs.journal import whole_lines
from jobs.lake_files import LakeFiles
from jobs.stream import run_stream

pytestmark = pytest.mark.both_engines

QUERY = "archive__ticks"


class Driver:
    """A driver in a thread: its query counts the lines of files."""

    def __init__(self, spark, lake, folder, owner):
        self.error = None
        self.runs = threading.Event()
        self._start = lambda: self._query(spark, folder)
        self._thread = threading.Thread(target=self._run, args=(spark, lake, owner))
        self._thread.start()

    def _run(self, spark, lake, owner):
        try:
            run_stream(spark, QUERY, lake.checkpoint(QUERY, "v1"), owner, lake, self._start)
        except Exception as error:  # noqa: BLE001 - handed to the test
            self.error = error
        self.runs.set()

    def _query(self, spark, folder):
        lines = spark.readStream.schema("value long").json(str(folder / "source"))
        writer = lines.writeStream.format("noop").option("checkpointLocation", str(folder / "checkpoint"))
        query = writer.start()
        self.runs.set()
        return query

    def ended_within(self, seconds):
        self._thread.join(seconds)
        return not self._thread.is_alive()


@pytest.fixture
def files(spark):
    return LakeFiles(spark)


@pytest.fixture
def drive(spark, local_lake, tmp_path, files):
    (tmp_path / "source").mkdir()
    drivers = []

    def start(owner):
        drivers.append(Driver(spark, local_lake, tmp_path, owner))
        assert drivers[-1].runs.wait(60)
        return drivers[-1]

    yield start
    ask_to_stop(files, local_lake, "*", timedelta(seconds=1))
    for driver in drivers:
        assert driver.ended_within(60)


def ask_to_stop(files, lake, owner, in_time=timedelta(0)):
    at = datetime.now(timezone.utc) + in_time
    files.replace(lake.stop_request(QUERY), json.dumps({"owner": owner, "requested_at": at.isoformat()}))


def test_a_request_to_its_owner_stops_it_and_frees_the_lock(drive, files, local_lake, tmp_path):
    (tmp_path / "source" / "one.json").write_text('{"value": 1}\n')
    driver = drive("mine")
    assert json.loads(files.read(local_lake.lock(QUERY)))["owner"] == "mine"
    ask_to_stop(files, local_lake, "mine")
    assert driver.ended_within(60)
    assert driver.error is None
    assert files.read(local_lake.lock(QUERY)) is None
    assert files.read(local_lake.stop_request(QUERY)), "the request is left for whoever made it"
    (journal,) = (tmp_path / "lake" / "progress" / QUERY).glob("*.jsonl")
    assert [line["rows"] for line in whole_lines(journal.read_text())] == [1]


def test_requests_to_others_and_of_before_its_time_leave_it_running(drive, files, local_lake):
    ask_to_stop(files, local_lake, "*", -timedelta(minutes=1))
    driver = drive("mine")
    ask_to_stop(files, local_lake, "other")
    assert not driver.ended_within(3)
    ask_to_stop(files, local_lake, "*")
    assert driver.ended_within(60)


def test_a_second_driver_is_refused_and_the_first_runs_on(drive):
    first = drive("first")
    second = drive("second")
    assert second.ended_within(60)
    assert isinstance(second.error, LockHeldError)
    assert "owner 'first'" in str(second.error)
    assert not first.ended_within(1)


def test_the_failure_of_the_query_is_the_drivers_failure(drive, files, local_lake, tmp_path, spark):
    (tmp_path / "checkpoint").write_text("a file where the checkpoint should be")
    driver = drive("mine")
    assert driver.ended_within(60)
    assert driver.error is not None
    assert files.read(local_lake.lock(QUERY)) is None
    (tmp_path / "checkpoint").unlink()


def test_a_driver_that_lost_its_lock_stops(drive, files, local_lake):
    driver = drive("mine")
    held = json.loads(files.read(local_lake.lock(QUERY)))
    files.replace(local_lake.lock(QUERY), json.dumps({**held, "holder": "x", "owner": "thief"}))
    started = time.monotonic()
    assert driver.ended_within(60)
    assert time.monotonic() - started < 30
    assert isinstance(driver.error, LockHeldError)
    assert json.loads(files.read(local_lake.lock(QUERY)))["owner"] == "thief"


def test_a_long_start_keeps_the_lock_and_may_be_stopped(spark, local_lake, files):
    """A bootstrap from the raw archive comes before the query."""

    def start():
        def lock():
            text = files.read(local_lake.lock(QUERY))  # not as JSON: a heartbeat may be half written
            assert text is not None, "the lock is kept"
            return text

        first, deadline = lock(), time.monotonic() + 60
        while lock() == first:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        raise StopRequestedError("the next start goes on")

    run_stream(spark, QUERY, "v1", "mine", local_lake, start)
    assert files.read(local_lake.lock(QUERY)) is None
