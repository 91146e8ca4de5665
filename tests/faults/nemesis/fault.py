"""What a fault is, and what is checked after every one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tests.faults.scene import Scene
from tests.faults.streams import Stream
from tests.faults.waiting import await_true, quietly

__all__ = ["Fault", "Struck", "await_reader", "strike"]


def goes_on(scene: Scene) -> str:
    """What follows every fault but the last: Kafka acknowledges, both streams go on, and the view answers."""
    undone, acknowledged, polls = time.monotonic(), scene.load.acknowledged, scene.reader.polls
    marks = {s.title: await_true(f"the storage ({s.title})", lambda s=s: _mark(s)) for s in scene.streams}
    await_true("an acknowledgement of Kafka", lambda: scene.load.acknowledged > acknowledged, timedelta(minutes=2))
    went = [f"{s.title} to micro-batch {s.await_batch(marks[s.title])}" for s in scene.streams]
    back = time.monotonic() - undone
    await_reader(scene, polls)
    return f"{' and '.join(went)} within {back:.0f} s; the view answers"


def await_reader(scene: Scene, polls: int) -> None:
    """Until the reader has made a poll that began after it had made `polls`; fails where it objects to any."""
    await_true("the view", lambda: scene.reader.polls > polls + 1, timedelta(minutes=3))
    assert not scene.reader.objections, f"the reader objects: {scene.reader.objections}"


@dataclass(frozen=True)
class Fault:
    """`strike` does it and returns the proof, in words; it raises where the fault took no effect.

    `obstacle` says why it cannot be done on this machine; None where it can. `after` checks what follows, and says it.
    `is_last`: the streams cannot go on after it, or what it removes could be checked no more, so it strikes when all
    others are done and everything is settled.
    """

    name: str
    strike: Callable[[Scene], str]
    obstacle: Callable[[Scene], str | None] = lambda scene: None
    after: Callable[[Scene], str] = goes_on
    is_last: bool = False


@dataclass(frozen=True)
class Struck:
    """A fault that was done: what proves it, and how everything went on."""

    name: str
    proof: str
    after: str
    seconds: float


def strike(fault: Fault, scene: Scene) -> Struck:
    """Does the fault, and checks what follows."""
    started = time.monotonic()
    proof = fault.strike(scene)
    after = fault.after(scene)
    return Struck(fault.name, proof, after, time.monotonic() - started)


def _mark(stream: Stream) -> int | None:
    """One more than the number of a micro-batch that is planned already: 1 at least, so that it is true."""
    planned = quietly(stream.planned)
    return None if planned is None else max(planned + 1, 1)
