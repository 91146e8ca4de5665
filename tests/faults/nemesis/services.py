"""Kafka and Azurite: killed and started again, paused."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

from millrace.stack.azurite import AZURITE
from millrace.stack.kafka import KAFKA
from tests.faults.nemesis.fault import Fault
from tests.faults.scene import Scene
from tests.faults.signals import kill, stand_still, stopped
from tests.faults.waiting import await_true

__all__ = ["SERVICE_FAULTS"]

_SOON = timedelta(seconds=60)


def kill_kafka(scene: Scene) -> str:
    before = scene.stack.record(KAFKA)
    process = before.process()
    assert process is not None, "the broker does not run"
    kill([process])
    _await_silence(scene)
    waiting = scene.load.sent - scene.load.acknowledged
    assert scene.stack.start_kafka(), "the broker was still running"
    after = scene.stack.record(KAFKA)
    assert after.pid != before.pid
    return f"broker {before.pid} killed; {waiting} records waited for broker {after.pid}"


def pause_kafka(scene: Scene) -> str:
    process = scene.stack.record(KAFKA).process()
    assert process is not None, "the broker does not run"
    with stopped([process]):
        seconds = scene.chance.uniform(5, 9)
        stand_still(seconds)
        _await_silence(scene)
        waiting = scene.load.sent - scene.load.acknowledged
    return f"broker {process.pid} stood still for {seconds:.0f} s; {waiting} records waited"


def _await_silence(scene: Scene) -> None:
    """Until 50 records in a row were sent and none was acknowledged: what the broker acknowledged in its last moment
    may be told later."""
    acknowledged, sent = scene.load.acknowledged, scene.load.sent

    def is_silent() -> bool:
        nonlocal acknowledged, sent
        if scene.load.acknowledged != acknowledged:
            acknowledged, sent = scene.load.acknowledged, scene.load.sent
        return scene.load.sent > sent + 50

    await_true("50 records that wait for the broker", is_silent, _SOON)


def kill_azurite(scene: Scene) -> str:
    """With requests under way, which are reset.

    Azurite keeps its metadata in memory for up to 5 s, and would forget blobs that it has acknowledged, which Azure
    Storage does not do. So what it has acknowledged is awaited on disk first, while further requests wait.
    """
    before = scene.stack.record(AZURITE)
    process = before.process()
    assert process is not None, "Azurite does not run"
    with scene.disturbed():
        with scene.stack.proxy.trap(None, "") as everything:
            everything.await_request(_SOON)
            await_true("answers to all requests", lambda: scene.stack.proxy.counts().in_flight == 0, _SOON)
            _await_on_disk(scene)
            waiting = len(everything.caught)
            kill([process])
            scene.stack.proxy.refuse_connections()
        seconds = scene.chance.uniform(2, 5)
        stand_still(seconds)
        assert scene.stack.start_azurite(), "Azurite was still running"
    after = scene.stack.record(AZURITE)
    assert after.pid != before.pid
    return f"Azurite {before.pid} killed with {waiting} requests waiting; Azurite {after.pid} started"


def pause_azurite(scene: Scene) -> str:
    process = scene.stack.record(AZURITE).process()
    assert process is not None, "Azurite does not run"
    with scene.disturbed(), stopped([process]):
        answers = scene.stack.proxy.counts().answers
        seconds = scene.chance.uniform(5, 9)
        stand_still(seconds)
        assert scene.stack.proxy.counts().answers <= answers + 1, "a stopped Azurite answers"
        waiting = scene.stack.proxy.counts().in_flight
        assert waiting, "nobody asked it anything"
    return f"Azurite {process.pid} stood still for {seconds:.0f} s with {waiting} requests under way"


def _await_on_disk(scene: Scene) -> None:
    """Until Azurite's two databases on disk hold a blob that is written now, after all others."""
    marker, since = f"faults/{uuid.uuid4().hex}", time.time()
    scene.stack.store.write(marker, b"all before this is on disk")
    folder = scene.stack.storage.azurite
    blobs, extents = folder / "__azurite_db_blob__.json", folder / "__azurite_db_blob_extent__.json"
    await_true("Azurite's metadata on disk", lambda: marker in blobs.read_text(encoding="utf-8"), _SOON)

    def has_extent() -> bool:
        content = json.loads(extents.read_text(encoding="utf-8"))
        rows = [row for each in content["collections"] for row in each["data"]]
        # Of an extent that was appended to, Azurite notes it under another name.
        found = (row.get("LastModifyInMS", row["lastModifiedInMS"]) for row in rows)
        return max(found, default=0) >= since * 1000 - 1

    await_true("Azurite's extents on disk", has_extent, _SOON)


SERVICE_FAULTS = {
    fault.name: fault
    for fault in (
        Fault("Kafka killed", kill_kafka),
        Fault("Kafka paused", pause_kafka),
        Fault("Azurite killed", kill_azurite),
        Fault("Azurite paused", pause_azurite),
    )
}
