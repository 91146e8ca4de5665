"""Kafka's brokers advertise their addresses: a peered network cannot resolve their host names."""

from __future__ import annotations

import logging
import subprocess
import time
from datetime import timedelta

from millrace.azure.ambari import Ambari
from millrace.azure.arm.compose import TEMPLATES

__all__ = ["advertise_addresses"]

_SCRIPT = TEMPLATES / "scripts" / "advertise_addresses.sh"
_log = logging.getLogger(__name__)


def advertise_addresses(ambari: Ambari, between: timedelta = timedelta(minutes=2)) -> list[str]:
    """Set it, and restart one after the other the brokers that run without it; their names. A second run does nothing.

    Between two brokers it waits for `between`, so that the replicas of the first catch up: Ambari does not tell when
    they have, and the next restart could otherwise leave a partition without enough of them.
    """
    listeners = ambari.configuration("kafka-broker")["properties"]["listeners"]
    ambari.configure("kafka-broker", {"listeners": _everywhere(listeners)})
    content = ambari.configuration("kafka-env")["properties"]["content"]
    ambari.configure("kafka-env", {"content": _with_fragment(content)})
    stale = [broker for broker in ambari.brokers() if broker.is_stale]  # an earlier run may have been cut off here
    for number, broker in enumerate(stale):
        if number:
            time.sleep(between.total_seconds())
        _log.info("broker %s (%s) is restarted: %d of %d", broker.host, broker.address, number + 1, len(stale))
        ambari.restart(broker)
    return [broker.host for broker in stale]


def _everywhere(listeners: str) -> str:
    """`PLAINTEXT://0.0.0.0:9092` for `PLAINTEXT://localhost:9092`; there may be several, with commas."""
    parts = [part.strip().rpartition(":") for part in listeners.split(",")]
    return ",".join(f"{place.split('://')[0]}://0.0.0.0:{port}" for place, _, port in parts)


def _with_fragment(content: str) -> str:
    """kafka-env with what the script action appends to it, once."""
    fragment = subprocess.run([str(_SCRIPT), "fragment"], text=True, capture_output=True, check=True).stdout
    return content if fragment.splitlines()[0] in content else f"{content.rstrip()}\n{fragment}"
