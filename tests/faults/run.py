"""A run of the fault suite: `python -m tests.faults --seed 7`, `--minutes 10` for a sample, or `--short`."""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from millrace.interrupt import interruptible
from millrace.stack.airflow_client import AirflowClient
from millrace.supervision.driver_log import error_line
from tests.faults.checks import check_all, settle
from tests.faults.keepers import AirflowKeeper, Keeper, LoopKeeper
from tests.faults.nemesis.airflow import AIRFLOW_FAULTS
from tests.faults.nemesis.batch import BATCH_FAULTS
from tests.faults.nemesis.clean_up import CLEAN_UP_FAULTS
from tests.faults.nemesis.drivers import DRIVER_FAULTS
from tests.faults.nemesis.fault import Fault, strike
from tests.faults.nemesis.recreated import RECREATED_FAULTS
from tests.faults.nemesis.services import SERVICE_FAULTS
from tests.faults.nemesis.storage import STORAGE_FAULTS
from tests.faults.nemesis.topic import TOPIC_FAULTS
from tests.faults.producer import Load, Plan
from tests.faults.reader import Reader, Windows
from tests.faults.report import Report, Say
from tests.faults.scene import Scene
from tests.faults.stack import FaultStack
from tests.faults.streams import Stream, streams_of

__all__ = ["FAULTS", "SHORT", "SHORT_DAYS", "Run", "main", "run"]

FAULTS = {
    **DRIVER_FAULTS,
    **SERVICE_FAULTS,
    **STORAGE_FAULTS,
    **BATCH_FAULTS,
    **TOPIC_FAULTS,
    **CLEAN_UP_FAULTS,
    **RECREATED_FAULTS,
    **AIRFLOW_FAULTS,
}

_MOST_FAILURES = 3

SHORT_DAYS = 1
SHORT = (
    "archive driver killed between data files and commit",
    "speed driver killed between commit and checkpoint",
    "Kafka killed",
    "batch driver killed between commit and publish",
)


@dataclass(frozen=True)
class Run:
    """What is to be done: every fault once. `minutes`: as many of them as begin within these, a sample that the seed
    chooses; where there is time left, faults at random until it is over.

    `allow_missing`: a fault that cannot be done here does not make the run fail.
    """

    seed: int
    minutes: float | None = None
    names: tuple[str, ...] = tuple(FAULTS)
    airflow: bool = False
    days: int = 3
    allow_missing: bool = False

    def faults(self, chance: random.Random) -> Iterator[Fault]:
        """Each once, in an order that the seed gives, then any for as long as asked; but for those that are last."""
        names = [name for name in self.names if not FAULTS[name].is_last]
        chance.shuffle(names)
        if self.minutes is None:
            yield from (FAULTS[name] for name in names)
            return
        deadline, left = time.monotonic() + self.minutes * 60, iter(names)
        while names and time.monotonic() < deadline:
            yield FAULTS[next(left, None) or chance.choice(names)]

    @property
    def last(self) -> list[Fault]:
        """What strikes when all others are done."""
        return [FAULTS[name] for name in self.names if FAULTS[name].is_last]


def run(wanted: Run, folder: Path, say: Say) -> bool:
    """Whether all went well, and nothing was left out; says everything, and leaves no process behind."""
    report = Report(say)
    report.note(f"seed {wanted.seed}; {len(wanted.names)} faults; everything lies in {folder}")
    try:
        with ExitStack() as undo:
            _run(wanted, folder, report, undo)
        return report.totals(wanted.seed, allow_missing=wanted.allow_missing)
    except BaseException as error:
        report.note(f"FAILED with seed {wanted.seed} after {len(report.struck)} faults: {error}")
        if not isinstance(error, Exception):
            raise
        say(traceback.format_exc())
        return False


def _run(wanted: Run, folder: Path, report: Report, undo: ExitStack) -> None:
    chance, plan = random.Random(wanted.seed), Plan(wanted.seed, wanted.days)
    stack = FaultStack(folder, airflow=wanted.airflow)
    undo.callback(stack.down)
    stack.up()
    report.note(f"the stack is up: {stack.environment.kafka_bootstrap}, {stack.environment.storage.blob_endpoint}")
    scene = _scene(stack, plan, chance, folder)
    undo.callback(_end, scene)
    scene.load.send_all(plan.history())
    for keeper in scene.keepers.values():
        keeper.start()
    for stream in scene.streams:
        stream.await_batch(0)
    scene.load.start(plan.live(datetime.now(UTC)))
    scene.reader.start()
    for stream in scene.streams:
        stream.await_batch(stream.planned() + 1)
    report.note(f"{scene.load.acknowledged:,} records of {wanted.days} past days are in both layers, live ones follow")
    _strike(wanted.faults(scene.chance), scene, report)
    scene.load.end()
    settle(scene)
    report.note("settled: nothing more is sent, all is processed, every past day is published")
    _strike(wanted.last, scene, report)
    for line in check_all(scene, folder / "acknowledged.jsonl").lines():
        report.note(line)


def _strike(faults: Iterable[Fault], scene: Scene, report: Report) -> None:
    for fault in faults:
        why = fault.obstacle(scene)
        if why:
            report.leave_out(fault.name, why)
            continue
        report.note(f"next: {fault.name}")
        try:
            report.fault(strike(fault, scene))
        except Exception as error:
            report.failed(fault.name, error, _troubles(scene))
            if len(report.failures) == _MOST_FAILURES:
                raise


def _troubles(scene: Scene) -> list[str]:
    """What the drivers and their keepers said last."""
    said = [f"keeper of {name}: {keeper.trouble}" for name, keeper in scene.keepers.items() if keeper.trouble]
    for stream in scene.streams:
        newest = stream.newest_job()
        log = stream.platform.logs(newest, 400) if newest else []
        said.append(f"{stream.title}: {newest}: {error_line(log)}")
    return said


def _scene(stack: FaultStack, plan: Plan, chance: random.Random, folder: Path) -> Scene:
    windows = Windows()
    archive, speed = streams_of(stack, timedelta(seconds=2), timedelta(seconds=1))
    return Scene(
        stack=stack,
        archive=archive,
        speed=speed,
        keepers={stream.title: _keeper(stream) for stream in (archive, speed)},
        plan=plan,
        load=Load(stack.environment.kafka_bootstrap, folder / "acknowledged.jsonl"),
        reader=Reader(stack.environment, windows),
        windows=windows,
        chance=chance,
        folder=folder,
    )


def _keeper(stream: Stream) -> Keeper:
    if stream.stack.has_airflow:
        return AirflowKeeper(stream, AirflowClient.local(stream.stack.home))
    return LoopKeeper(stream)


def _end(scene: Scene) -> None:
    """Of whoever is still there after a failure."""
    for keeper in scene.keepers.values():
        keeper.end()
    scene.reader.end()
    scene.load.abandon()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all went well, 1 where not, or where something was left out (see `--allow-missing`)."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000), help="default: any")
    parser.add_argument("--minutes", type=float, help="as many faults as begin within these; default: each once")
    parser.add_argument("--short", action="store_true", help="what CI runs: the essential faults, one past day")
    parser.add_argument("--airflow", action="store_true", help="Airflow keeps the streams, and is killed too")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), metavar="FAULT", help="this one")
    parser.add_argument("--allow-missing", action="store_true", help="end well though a fault cannot be done here")
    parser.add_argument("--keep", action="store_true", help="do not remove the run's folder when all went well")
    options = parser.parse_args(arguments)
    logging.getLogger("azure").setLevel(logging.WARNING)
    names = tuple(options.only or (SHORT if options.short else FAULTS))
    days = SHORT_DAYS if options.short else 3
    wanted = Run(options.seed, options.minutes, names, options.airflow, days, options.allow_missing)
    folder = Path(tempfile.mkdtemp(prefix="millrace-faults-"))
    with interruptible():
        went_well = run(wanted, folder, lambda line: print(line, flush=True))
    if went_well and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if went_well else 1
