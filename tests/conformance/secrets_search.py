"""Wherever people or programs look while a job runs on the cluster, there is no secret."""

from __future__ import annotations

import json

import psutil

from tests.conformance.cluster import LIVY, Cluster
from tests.conformance.streams import ARCHIVE, Streams

__all__ = ["require_no_secret_in_sight"]


def require_no_secret_in_sight(streams: Streams, cluster: Cluster, passwords: dict[str, str]) -> None:
    """Livy, YARN, command lines, the driver's log, Spark's event logs (what its UI shows) and checkpoints; and the job
    has the secret all the same."""
    job = streams.live(ARCHIVE)
    gateway, store = streams.platform.gateway, streams.platform.store
    number = store.read_json(f"jobs/{job.id}/batch.json")["number"]
    tag = store.read_json(f"jobs/{job.id}/job.json")["tag"]
    looked_at = {
        "Livy's batch": json.dumps(gateway.batch(number)),
        "Livy's log": "\n".join(gateway.batch_log(number, 1000)) + cluster.log(LIVY),
        "YARN's application": json.dumps(gateway.applications(tag)),
        "command lines": "\n".join(" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])),
        "the driver's log": "\n".join(streams.platform.logs(job.id, 5000)),
        "Spark's event logs": "".join(path.read_text() for path in cluster.event_logs.iterdir()),
        "checkpoints": "".join(
            (streams.store.read(path) or b"").decode("latin-1") for path in streams.store.list("checkpoints")
        ),
    }
    assert all(looked_at.values())
    for place, text in looked_at.items():
        for name, password in passwords.items():
            assert password not in text, f"the password of {name} is in {place}"
    assert passwords["kafka"] in (store.read(f"jobs/{job.id}/connection.json") or b"").decode()
