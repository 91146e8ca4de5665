"""The two streams of a run: their drivers, and their micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import psutil

from jobs.checkpoint import Checkpoint
from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.builders.stream_jobs import archive_job, served_speed_job
from millrace.environment import Environment
from millrace.lake.tables import open_table
from millrace.lake.text_files import TextFiles
from millrace.platforms.local import LocalPlatform, local_platform
from millrace.platforms.local_folder import JobFolder, job_folders
from millrace.platforms.protocol import RunningJob, SparkJob
from tests.end_to_end.drivers import driver_processes
from tests.faults.stack import FaultStack
from tests.faults.waiting import await_true, quietly

__all__ = ["Stream", "streams_of"]

_LAKE = Lake("")


@dataclass(frozen=True)
class Stream:
    """`table` and `checkpoint` are paths below the lake's root; `dag` is its DAG; `make_job` declares its job."""

    title: str
    dag: str
    job_name: str
    table: str
    checkpoint: str
    make_job: Callable[[Environment, str], SparkJob]
    stack: FaultStack

    @property
    def platform(self) -> LocalPlatform:
        return local_platform(self.stack.environment, self.stack.home)

    def driver(self) -> RunningJob:
        """The live driver, awaited; one that has not begun to run the query counts too."""
        return await_true(f"a driver of {self.title}", lambda: self.platform.find(self.job_name))

    def running(self) -> RunningJob:
        """The live driver, awaited, once it runs the query."""
        return await_true(f"{self.title} to run", self._running)

    def _running(self) -> RunningJob | None:
        return self.runs(self.platform)

    def runs(self, platform: LocalPlatform) -> RunningJob | None:
        """The driver that lives there and runs the query: it has the lock."""
        job = platform.find(self.job_name)
        told = "\n".join(platform.logs(job.id, 2000)) if job else ""
        return job if f"millrace: query {self.job_name} runs" in told else None

    def exit_codes(self) -> dict[str, int]:
        """Of its drivers that have ended, by their id; the platform keeps the last twenty."""
        folders = self._folders()
        ended = [(folder, folder.read("exit.json")) for folder in folders if not folder.is_alive()]
        return {folder.id: int(found["code"]) for folder, found in ended if found}

    def newest_job(self) -> str | None:
        """The id of the newest driver, alive or not."""
        return next((folder.id for folder in reversed(self._folders())), None)

    def _folders(self) -> list[JobFolder]:
        return [f for f in job_folders(self.platform.root) if f.id.partition("--")[2] == self.job_name]

    def processes(self, job: RunningJob) -> list[psutil.Process]:
        return driver_processes(self.platform, job)

    def planned(self) -> int:
        """The number of the newest micro-batch in the checkpoint's plan; -1: none."""
        return self._newest("offsets")

    def committed(self) -> int:
        """The number of the newest micro-batch that the checkpoint notes as done; -1: none."""
        return self._newest("commits")

    def read_records(self, batch: int) -> bool:
        """Whether a planned micro-batch reads any: one that moves the watermark alone does not."""
        checkpoint = Checkpoint(TextFiles(self.stack.store), self.checkpoint)
        before, planned = checkpoint.planned(batch - 1), checkpoint.planned(batch)
        assert planned is not None
        return before is None or before.end_offsets != planned.end_offsets

    def written(self) -> int:
        """The number of the newest micro-batch whose rows are in the table; -1: none."""
        table = open_table(self.stack.direct, f"{self.stack.direct.lake}/{self.table}")
        query = self.stack.store.read_json(f"{self.checkpoint}/metadata")
        found = table.transaction_version(query["id"]) if table is not None and query else None
        return -1 if found is None else found

    def orphans(self) -> set[str]:
        """Data files of the table that no commit names."""
        table = open_table(self.stack.direct, f"{self.stack.direct.lake}/{self.table}")
        named = {uri.partition(f"/{self.table}/")[2] for uri in table.file_uris()} if table is not None else set()
        found = (path.removeprefix(f"{self.table}/") for path in self.stack.store.list(self.table))
        return {path for path in found if path.endswith(".parquet") and not path.startswith("_delta_log/")} - named

    def await_batch(self, batch: int) -> int:
        """Until this micro-batch, or a later one, is noted as done; the newest."""

        def done() -> int | None:
            newest = quietly(self.committed)
            return newest + 1 if newest is not None and newest >= batch else None

        return await_true(f"{self.title} past micro-batch {batch}", done) - 1

    def _newest(self, log: str) -> int:
        names = [path.rpartition("/")[2] for path in self.stack.store.list(f"{self.checkpoint}/{log}")]
        return max((int(name) for name in names if name.isdigit()), default=-1)


def streams_of(stack: FaultStack, archive_trigger: timedelta, speed_trigger: timedelta) -> tuple[Stream, Stream]:
    """The archive of stock_ticks and the speed layer of stock_high_low."""
    topic, pipeline = stock_ticks, stock_high_low
    archive, speed, version = archive_query(topic.name), speed_query(pipeline.name), fingerprint(pipeline)
    return (
        Stream(
            "the archive",
            archive,
            archive,
            _LAKE.raw(topic.name),
            _LAKE.checkpoint(archive, RAW_VERSION),
            lambda environment, owner: archive_job(topic, archive_trigger, environment, owner),
            stack,
        ),
        Stream(
            "the speed layer",
            speed,
            speed_stream(pipeline.name, version),
            _LAKE.speed(pipeline.name),
            _LAKE.checkpoint(speed, version),
            lambda environment, owner: served_speed_job(pipeline, speed_trigger, environment, owner),
            stack,
        ),
    )
