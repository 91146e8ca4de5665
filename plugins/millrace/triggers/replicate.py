"""The supervisor of MirrorMaker while its task is deferred."""

from __future__ import annotations

from millrace.replication.job import connect_mirror, unreachable_clusters
from millrace.supervision.connection import Connection
from millrace.triggers.spark_stream import SparkStreamTrigger

__all__ = ["ReplicateTrigger"]


class ReplicateTrigger(SparkStreamTrigger):
    """As that of a stream, for the job on this machine: the triggerer shares its data folder with the workers."""

    def connect(self) -> Connection:
        return connect_mirror(self.environment)

    def unreachable(self) -> str | None:
        return unreachable_clusters(self.environment)
