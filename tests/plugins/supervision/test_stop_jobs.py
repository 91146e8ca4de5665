"""Stopping all jobs of this machine, with real processes and no lake."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from millrace.environment import Environment, StorageAccount
from millrace.home import Home
from millrace.platforms.local import LocalPlatform
from millrace.platforms.protocol import JobState, SparkJob
from millrace.supervision.stop_jobs import is_stream, stop_jobs, stream_queries

SLEEP = "import time; time.sleep(600)"
STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))
ENVIRONMENT = Environment("test", "local", "127.0.0.1:2", {}, "abfs://lake", STORAGE)


def test_the_queries_are_those_of_all_topics_and_pipelines() -> None:
    assert {"archive__stock_ticks", "stock_high_low__speed", "stock_high_low__alerts"} <= set(stream_queries())


def test_each_version_of_a_speed_layer_is_a_stream_and_no_batch_job_is() -> None:
    names = ["archive__stock_ticks", "stock_high_low__speed.0123456789ab", "stock_high_low__alerts"]
    assert [is_stream(name) for name in [*names, "stock_high_low__batch.20261120T000000Z.x"]] == [*[True] * 3, False]


def test_streams_and_batch_jobs_are_cancelled_when_the_lake_is_down(tmp_path: Path) -> None:
    home = Home(tmp_path)
    platform = LocalPlatform(home.root / "jobs", lambda *_: ([sys.executable, "-c", SLEEP], {}))
    names = ["archive__stock_ticks", "stock_high_low__batch.20261120T000000Z.x"]
    jobs = [platform.submit(SparkJob(name, (), "me")) for name in names]
    done = stop_jobs(ENVIRONMENT, "a test", stay_stopped=True, grace=timedelta(seconds=1), home=home)
    assert sorted(done) == [f"{name}: cancelled" for name in names]
    assert {platform.state(job.id).state for job in jobs} == {JobState.CANCELLED}


def test_without_jobs_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert stop_jobs(ENVIRONMENT, "a test", stay_stopped=False, home=Home(tmp_path)) == []
