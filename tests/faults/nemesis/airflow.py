"""Airflow's scheduler and triggerer: killed, and started again by the stack itself; the streams never notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from jobs.lake import batch_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.stack.airflow import health
from millrace.stack.airflow_client import AirflowClient
from tests.faults.nemesis.fault import Fault
from tests.faults.scene import Scene
from tests.faults.signals import kill
from tests.faults.waiting import PATIENCE, await_true

__all__ = ["AIRFLOW_FAULTS"]

_DAG = batch_query(stock_high_low.name)
_HEALTH = {"airflow-scheduler": "scheduler", "airflow-triggerer": "triggerer"}


def kill_under_streams(scene: Scene, name: str) -> str:
    """The stack's keeper starts it again; the streams run on meanwhile."""
    before = {stream.title: stream.running().id for stream in scene.streams}
    _kill(scene, name)
    for stream in scene.streams:
        stream.await_batch(stream.planned() + 1)
    assert {stream.title: stream.driver().id for stream in scene.streams} == before, "a driver did not outlive it"
    _await_back(scene, name)
    # What supervises now is the new process: it brings a killed driver back.
    victim = scene.chance.choice(scene.streams)
    job = victim.driver()
    kill(victim.processes(job))
    await_true(f"Airflow to bring {victim.title} back", lambda: victim.driver().id != job.id, PATIENCE * 2)
    return f"killed; both drivers ran on; it was started again, and {victim.title} was brought back after a kill"


def kill_under_batch_run(scene: Scene, name: str) -> str:
    """While a reprocess is deferred: its Spark job lives on, and the run is published when it is over."""
    airflow, day = AirflowClient.local(scene.stack.home), scene.chance.choice(scene.days)
    before = scene.served(day)
    with _unpaused(airflow):
        run = airflow.trigger(_DAG, {"interval": f"{day:%Y-%m-%d}"})

        def is_deferred() -> bool:
            return any(t.task_id.endswith("reprocess") and t.state == "deferred" for t in airflow.tasks(_DAG, run))

        await_true(f"the reprocess of {day:%Y-%m-%d}", is_deferred)
        _kill(scene, name)
        _await_back(scene, name)
        state = airflow.await_run(_DAG, run, PATIENCE * 3)
        assert state == "success", airflow.tasks(_DAG, run)
    after = scene.served(day)
    assert after is not None
    assert before is None or after.run != before.run, "nothing was published"
    return f"killed while the reprocess of {day:%Y-%m-%d} was deferred; it went on and {after.run} is served"


@contextmanager
def _unpaused(airflow: AirflowClient) -> Iterator[None]:
    """The batch DAG runs within the `with` block, and none of its runs does after it: the scheduler also makes the last
    night's, which runs what was missed, and faults that come later look at who runs a day."""
    airflow.await_dag(_DAG)
    airflow.unpause(_DAG)
    try:
        yield
        for each in airflow.runs(_DAG):
            state = airflow.await_run(_DAG, each["dag_run_id"], PATIENCE * 3)
            assert state == "success", airflow.tasks(_DAG, each["dag_run_id"])
    finally:
        airflow.pause(_DAG)


def _kill(scene: Scene, name: str) -> None:
    process = scene.stack.record(name).process()
    assert process is not None, f"{name} does not run"
    kill([process])
    assert scene.stack.record(name).process() != process, f"{name} outlived its kill"


def _await_back(scene: Scene, name: str) -> None:
    """Health is that of the process that runs: an older one's heartbeat does not count."""
    await_true(
        f"the keeper to bring {name} back, healthy",
        lambda: scene.stack.is_running(name) and health(scene.stack.home)[_HEALTH[name]] == "healthy",
        timedelta(minutes=2),
    )


def _no_airflow(scene: Scene) -> str | None:
    return None if scene.stack.has_airflow else "Airflow does not run: add --airflow"


def _fault(what: str, do: Callable[[Scene, str], str], name: str) -> Fault:
    return Fault(f"Airflow's {_HEALTH[name]} killed{what}", lambda scene: do(scene, name), _no_airflow)


AIRFLOW_FAULTS = {
    fault.name: fault
    for name in _HEALTH
    for fault in (_fault("", kill_under_streams, name), _fault(" under a batch run", kill_under_batch_run, name))
}
