"""What a fault may touch: the stack, the streams, and whoever writes and reads meanwhile."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from jobs.interval import Interval
from jobs.lake import batch_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.home import PROJECT_ROOT
from millrace.lake.published import Publication, publications
from millrace.platforms.protocol import RunningJob
from millrace.stack.airflow_settings import process_environment
from millrace.stack.process import environment_with
from tests.end_to_end.drivers import driver_processes
from tests.end_to_end.topic_oracle import KafkaRecord
from tests.faults.keepers import Keeper
from tests.faults.producer import Load, Plan
from tests.faults.reader import Reader, Windows
from tests.faults.signals import kill
from tests.faults.stack import FaultStack
from tests.faults.streams import Stream
from tests.faults.waiting import PATIENCE, await_true

__all__ = ["BatchRun", "Command", "Scene"]

_MILLRACE = [sys.executable, "-c", "from millrace.cli import main; main()"]


@dataclass
class Scene:
    """`keepers` by a stream's title. `plan` is what `load` writes."""

    stack: FaultStack
    archive: Stream
    speed: Stream
    keepers: dict[str, Keeper]
    plan: Plan
    load: Load
    reader: Reader
    windows: Windows
    chance: random.Random
    folder: Path
    commands: int = 0
    is_recreated: bool = False
    """Whether Kafka has another topic of that name now: what it held before is all in `held`."""
    held: list[tuple[int, KafkaRecord]] = field(default_factory=list)
    """What Kafka held before it lost some of it, each record with its number."""
    lost: dict[str, list[dict[int, tuple[int, int]]]] = field(default_factory=lambda: {"archive": [], "speed": []})
    """What was accepted as lost: ranges of offsets by partition, per layer."""

    @property
    def streams(self) -> tuple[Stream, Stream]:
        return self.archive, self.speed

    @property
    def days(self) -> list[datetime]:
        """The starts of the past days."""
        return self.plan.past_days

    def touch(self, days: Iterable[datetime]) -> None:
        """Notes the starts of days that an accepted loss touches."""
        self.reader.touched.update(self.interval(day).id for day in days)

    def touched_days(self) -> list[datetime]:
        """The starts of those that have begun by now."""
        intervals = (Interval.parse(each, stock_high_low.interval) for each in sorted(self.reader.touched))
        return [each.start for each in intervals if each.start <= datetime.now(UTC)]

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        """The storage does not answer as it should within the `with` block."""
        self.windows.open()
        try:
            yield
        finally:
            self.windows.close()

    def unkept(self, stream: Stream) -> AbstractContextManager[None]:
        """Nobody starts a driver of the stream within the `with` block."""
        return self.keepers[stream.title].off()

    def interval(self, day: datetime) -> Interval:
        return Interval.of(day, stock_high_low.interval)

    def served(self, day: datetime) -> Publication | None:
        """What is published of a day, read past the proxy."""
        found = publications(self.stack.direct, stock_high_low)
        return next((each for each in found if each.interval.start == day), None)

    def command(self, *arguments: str) -> str:
        """What a command of `millrace` prints; fails where it does not succeed."""
        done = self._run(arguments)
        assert done.returncode == 0, f"millrace {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused_command(self, *arguments: str) -> str:
        """What a command of `millrace` says that refuses; fails where it succeeds."""
        done = self._run(arguments)
        assert done.returncode == 1, f"millrace {' '.join(arguments)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_MILLRACE, *arguments],
            env=environment_with(process_environment(self.stack.home)),
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE.total_seconds(),
            check=False,
        )

    def start(self, *arguments: str) -> Command:
        """Starts a command of `millrace`, as a person would."""
        self.commands += 1
        return Command(self, arguments, self.folder / f"command-{self.commands}.log")

    def reprocess(self, *days: datetime, options: Sequence[str] = ()) -> BatchRun:
        """Starts `millrace reprocess` for these days, as a person would."""
        self.commands += 1
        return BatchRun(self, list(days), self.folder / f"command-{self.commands}.log", options)


class Command:
    """The process of one command of `millrace`."""

    def __init__(self, scene: Scene, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        self._name = f"`millrace {arguments[0]}`"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*_MILLRACE, *arguments],
                env=environment_with(process_environment(scene.stack.home)),
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """SIGKILL to it; fails where it has ended."""
        assert self._process.poll() is None, f"{self._name} ended: {self.output}"
        self._process.kill()
        assert self._process.wait(30) == -signal.SIGKILL

    def ended(self) -> str | None:
        """Why nothing more comes of it; None while it runs."""
        return None if self._process.poll() is None else f"{self._name} ended: {self.output}"

    def result(self, timeout: timedelta = PATIENCE * 2) -> int:
        """Its exit code, awaited."""
        try:
            return self._process.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            raise AssertionError(f"after {timeout}: {self._name}: {self.output}") from None

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)

    @property
    def output(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-1500:]


class BatchRun(Command):
    """A `millrace reprocess`: it certifies, starts the batch driver, and publishes."""

    def __init__(self, scene: Scene, days: list[datetime], log: Path, options: Sequence[str]) -> None:
        self._scene = scene
        self._before = {job.id for job in scene.archive.platform.live_jobs()}
        dates = [f"{day:%Y-%m-%d}" for day in days]
        options = ["--wait", str(PATIENCE.total_seconds()), "--json", *options]
        super().__init__(scene, ["reprocess", stock_high_low.name, *dates, *options], log)

    def driver(self) -> RunningJob:
        """The run's Spark driver, awaited."""

        def found() -> RunningJob | None:
            assert self.ended() is None, self.ended()
            live = self._scene.archive.platform.live_jobs()
            mine = (j for j in live if j.name.startswith(batch_query(stock_high_low.name)) and j.id not in self._before)
            return next(mine, None)

        return await_true("the batch driver", found)

    def processes(self, job: RunningJob) -> list[psutil.Process]:
        """Of the Spark driver; at least one."""
        found = driver_processes(self._scene.archive.platform, job)
        assert found, f"the batch driver {job.id} has no processes"
        return found

    def kill_driver(self, job: RunningJob) -> None:
        """SIGKILL to the Spark driver; returns when it is dead."""
        kill(self.processes(job))

    @property
    def results(self) -> list[dict[str, object]]:
        """What it said of each interval, when it has succeeded."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        found: list[dict[str, object]] = json.loads(lines[-1])["intervals"]
        return found
