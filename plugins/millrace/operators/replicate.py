"""A task that keeps MirrorMaker alive."""

from __future__ import annotations

from typing import Any

from millrace.operators.spark_stream import SparkStreamOperator
from millrace.replication.job import REPLICATE, connect_mirror, mirror_job, unreachable_clusters
from millrace.supervision.connection import Connection
from millrace.triggers.replicate import ReplicateTrigger

__all__ = ["ReplicateOperator"]


class ReplicateOperator(SparkStreamOperator):
    """Keeps MirrorMaker running on the machine of Airflow's workers, as a stream's task its driver.

    Its notes lie in the data folder of this machine: it needs no lake.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(query=REPLICATE, make_job=mirror_job, **kwargs)

    def connect(self) -> Connection:
        return connect_mirror(self.environment)

    def unreachable(self) -> str | None:
        return unreachable_clusters(self.environment)

    def trigger(self, query: str, generation: str, **kwargs: Any) -> ReplicateTrigger:
        return ReplicateTrigger(query=query, generation=generation, environment=self.environment, **kwargs)
