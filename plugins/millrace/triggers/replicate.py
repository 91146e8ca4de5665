"""The supervisor of MirrorMaker while its task is deferred."""

from __future__ import annotations

import asyncio
from typing import Any

from millrace.platforms.protocol import JobState
from millrace.replication.job import connect_mirror, revive_broker, unreachable_clusters
from millrace.supervision.connection import Connection
from millrace.triggers.spark_stream import SparkStreamTrigger

__all__ = ["ReplicateTrigger"]


class ReplicateTrigger(SparkStreamTrigger):
    """As that of a stream, for the job on this machine: the triggerer shares its data folder with the workers."""

    def connect(self) -> Connection:
        return connect_mirror(self.environment)

    def unreachable(self) -> str | None:
        return unreachable_clusters(self.environment)

    async def _hand_over(self) -> dict[str, Any]:
        """Never: but every `follow_s` it looks whether the local stack's second broker lives, where it is the replica.

        MirrorMaker itself goes on when its broker is gone, and finds it when it is back.
        """
        await asyncio.sleep(2 * self.settle_s)
        while True:
            await asyncio.to_thread(self._keep_broker)
            await asyncio.sleep(self.follow_s)

    def _keep_broker(self) -> None:
        try:
            connection = self._connected()
            if self.job_id is None or connection.platform.state(self.job_id).state is not JobState.RUNNING:
                return  # whoever ended it may be about to end the broker
            if revive_broker(connection.environment):
                self.log.warning("query %s: the second broker had died, and is started again", self.query)
        except Exception as error:  # noqa: BLE001 - whatever a start raises: it is tried again
            self.log.warning("query %s: the second broker has died, and does not start: %s", self.query, error)
