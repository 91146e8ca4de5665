"""The network before the storage, and its disk."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from tests.faults.nemesis.fault import Fault
from tests.faults.rules import Answered, Refused, Reset, Slow, Unruly, Verdict
from tests.faults.scene import Scene
from tests.faults.waiting import await_true

__all__ = ["STORAGE_FAULTS"]

_SOON = timedelta(seconds=90)
_EACH = 5
_FREE = 1024 * 1024
_TRIES = 100


def refuse(scene: Scene) -> str:
    return _unruly(scene, 0.4, Refused(), Slow(0.3))


def reset(scene: Scene) -> str:
    return _unruly(scene, 0.2, Reset())


def lose_answers(scene: Scene) -> str:
    """The worst kind: what was asked for is done, and nobody learns it."""
    return _unruly(scene, 0.1, Answered())


def fill_disk(scene: Scene) -> str:
    """Every write fails, Spark's checkpoints among them, until there is space again."""
    folder = scene.stack.extents
    ballast = folder / "ballast"
    known = len(scene.stack.proxy.counts().failed)
    with scene.disturbed():
        try:
            size = _fill(ballast)
            assert scene.stack.is_full(), "a blob of 1 MiB was stored on a full disk"
            await_true("a write to a checkpoint that fails", lambda: _failed(scene, "checkpoints/", known), _SOON)
            failed = scene.stack.proxy.counts().failed[known:]
        finally:
            ballast.unlink(missing_ok=True)
        assert not scene.stack.is_full(), "the disk is still full"
    first = next(line for line in failed if "checkpoints/" in line)
    return f"{size // 2**20} MiB of ballast, {len(failed)} requests failed, such as {first}"


def _fill(ballast: Path) -> int:
    """Takes all space but what is needed for an answer; how much that was."""
    size = 0
    with ballast.open("wb") as file:
        for _ in range(_TRIES):
            free = _free(ballast.parent)
            if free < _FREE:
                return size
            with suppress(OSError):  # the storage took some of it meanwhile
                os.posix_fallocate(file.fileno(), size, free)
                size += free
    raise AssertionError("the disk is not full")


def _free(folder: Path) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def _failed(scene: Scene, what: str, known: int) -> bool:
    return any(what in line for line in scene.stack.proxy.counts().failed[known:])


def _unruly(scene: Scene, share: float, *verdicts: Verdict) -> str:
    names = [type(verdict).__name__.lower() for verdict in verdicts]
    rule = Unruly(scene.chance.randrange(2**32), share, verdicts)
    with scene.disturbed(), scene.stack.proxy.rule(rule) as seen:
        await_true(f"{_EACH} of {names}", lambda: all(seen().given.get(name, 0) >= _EACH for name in names), _SOON)
        # And for a while, so that what tries again meets it again.
        asked = seen().asked
        await_true("more requests", lambda: seen().asked > asked + 40, _SOON)
        found = seen()
    return f"of {found.asked} requests {', '.join(f'{count} {name}' for name, count in sorted(found.given.items()))}"


def _no_small_disk(scene: Scene) -> str | None:
    return None if scene.stack.has_small_disk else "no small disk: mounting a tmpfs is not permitted here"


STORAGE_FAULTS = {
    fault.name: fault
    for fault in (
        Fault("storage answers 503", refuse),
        Fault("storage resets connections", reset),
        Fault("storage's answers are lost", lose_answers),
        Fault("disk full", fill_disk, _no_small_disk),
    )
}
