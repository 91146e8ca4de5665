"""MirrorMaker 2's settings: https://kafka.apache.org/documentation/#georeplication

One flow, from the environment's cluster to its replica, in one direction. Topics keep their names and partitions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from millrace.environment import Environment
from millrace.kafka_settings import java_options
from millrace.replica import Replica
from millrace.stack.java_properties import properties_text

__all__ = ["MirrorFiles", "mirror_files", "source_alias"]

_REPLICA = "replica"
_SECRET = re.compile(r"jaas|password|keystore")
_INTERNAL = ("offset-syncs.topic", "checkpoints.topic", "heartbeats.topic")
_STORES = ("offset.storage", "config.storage", "status.storage")
# Every class path is read in full otherwise, which takes seconds at each start.
_DISCOVERY = "service_load"
# Brokers decide how large a record may be: no client of ours refuses one that they took.
_LARGEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class MirrorFiles:
    """What MirrorMaker reads at its start, and the secrets that its settings refer to."""

    settings: Mapping[str, str]
    secrets: Mapping[str, str]


def source_alias(environment: Environment) -> str:
    """What MirrorMaker calls the source: several environments may have one replica."""
    return f"millrace-{environment.name}"


def mirror_files(environment: Environment, replica: Replica, topics: tuple[str, ...], secrets: Path) -> MirrorFiles:
    """The settings for these topics. Secrets will lie in the file `secrets`, whose path must stay the same.

    MirrorMaker keeps the settings of its connectors in a topic of the replica, and starts by those of its last run:
    what they refer to must be found again. Other settings have a topic of their own, so that none starts by what is no
    longer so. Raises MillraceError where there is no login.
    """
    source = source_alias(environment)
    values, hidden = _flow(source, replica, topics), {}
    clusters = (
        (source, environment.kafka_bootstrap, environment.kafka_options),
        (_REPLICA, replica.bootstrap, replica.options),
    )
    for alias, servers, options in clusters:
        values[f"{alias}.bootstrap.servers"] = servers
        for name, value in java_options(options).items():
            key = f"{alias}.{name}"
            if _SECRET.search(name):
                hidden[key], value = value, f"${{file:{secrets}:{key}}}"
            values[key] = value
    if hidden:
        values |= {
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
            "config.providers.file.param.allowed.paths": str(secrets.parent),
        }
    of_these = sha256(properties_text(values).encode()).hexdigest()[:8]
    values[f"{_REPLICA}.config.storage.topic"] = f"mm2-configs.{source}.{of_these}.internal"
    return MirrorFiles(values, hidden)


def _flow(source: str, replica: Replica, topics: tuple[str, ...]) -> dict[str, str]:
    flow, factor = f"{source}->{_REPLICA}", str(replica.replication_factor)
    return {
        "clusters": f"{source},{_REPLICA}",
        f"{flow}.enabled": "true",
        f"{flow}.topics": ",".join(map(re.escape, topics)),
        f"{flow}.topics.exclude": r"__.*,mm2.*\.internal",
        "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
        "replication.factor": factor,
        **{f"{each}.replication.factor": factor for each in (*_INTERNAL, *_STORES)},
        "tasks.max": str(replica.tasks),
        "plugin.discovery": _DISCOVERY,
        "refresh.topics.interval.seconds": "30",
        "sync.topic.configs.enabled": "true",
        "sync.topic.acls.enabled": "false",
        **_nothing_is_written_to_the_source(),
        **_groups(replica),
        **_worker(source, replica),
    }


def _nothing_is_written_to_the_source() -> dict[str, str]:
    """The login there needs no more than to read."""
    return {"emit.heartbeats.enabled": "false", "offset-syncs.topic.location": "target"}


def _groups(replica: Replica) -> dict[str, str]:
    """Streams keep their offsets in their checkpoints: only who is named needs translated ones.

    Checkpoints stay enabled: MirrorMaker calls it an error to be without.
    """
    sync = "true" if replica.groups else "false"
    return {"groups": ",".join(map(re.escape, replica.groups)) or "(?!)", "sync.group.offsets.enabled": sync}


def _worker(source: str, replica: Replica) -> dict[str, str]:
    own = {
        "exactly.once.source.support": "enabled" if replica.exactly_once else "disabled",
        # One process: whoever comes back after a crash takes its tasks at once, not after five minutes.
        "scheduled.rebalance.max.delay.ms": "0",
        # Without exactly-once, what was sent since the last flush is sent again after a crash.
        "offset.flush.interval.ms": "5000",
        "plugin.discovery": _DISCOVERY,
        "producer.max.request.size": str(_LARGEST_BYTES),
    }
    # What a transaction of the source has not committed is in no archive, and does not belong into the replica.
    return {f"{source}.consumer.isolation.level": "read_committed"} | {f"{_REPLICA}.{k}": v for k, v in own.items()}
