"""Whether a query may go on where its checkpoint ends: see docs/decisions/0014."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

from pyspark.sql import SparkSession

from jobs.accepted_losses import accepted_losses, ranges_of_stream
from jobs.checkpoint import TOPIC_NOTE, Checkpoint
from jobs.checkpoint_skip import note_done, recover_skip, skip_to
from jobs.delta_log import last_transaction
from jobs.kafka_offsets import held_offsets
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.lost_offsets import (
    NEW_TOPIC,
    SETTLED_WITHIN,
    HeldOffsets,
    LostOffsetsError,
    cut_off,
    lost_ranges,
    next_offsets,
    told_ranges,
    unaccepted,
)

__all__ = ["OffsetsGuard"]


@dataclass(frozen=True)
class OffsetsGuard:
    """For the query that reads `topic` and writes the Delta table `sink`; `stream` is its checkpoint's path.

    `sink` is None where it does not tell what it holds, as a Kafka topic: what was planned is written again then.
    """

    spark: SparkSession
    topic: str
    bootstrap: str
    lake: Lake
    stream: str
    sink: Optional[str]

    def settle(self) -> None:
        """Call it with the query's lock held, before its journal is made up for: ends what a killed driver had begun.

        A micro-batch that the sink holds is noted as done where it could not be done again. Raises what `admit` raises.
        """
        recover_skip(self._files, self._uri)
        lost = self._lost(self._settled())
        if lost and self.sink is not None and note_done(self._files, self._uri, self._written(self.sink)):
            print(f"{self.stream}: its last micro-batch was written and is now noted as done", flush=True)

    def admit(self) -> None:
        """Call it before the query starts: moves it past what was accepted as lost.

        Raises LostOffsetsError where Kafka no longer has what the query has yet to read and nobody has accepted that;
        and where the topic was recreated or cut off below what the query has read, for its offsets name other records
        now. Raises MillraceError when Kafka does not answer.
        """
        held = self._settled()
        if lost := self._lost(held):
            self._check_accepted(lost, held)
            following = {**(self._following() or {}), **{p: end for p, (_, end) in lost.items()}}
            skip_to(self._files, self._uri, self.topic, following)
            print(f"{self.stream}: goes on after accepted loss: {told_ranges(lost)}", flush=True)
        self._note_topic(held)

    def explain(self) -> None:
        """Call it when the query has failed: raises LostOffsetsError where that is why it cannot go on."""
        held = self._settled()
        if lost := self._lost(held):
            self._check_accepted(lost, held)

    def _lost(self, held: HeldOffsets) -> Dict[int, Tuple[int, int]]:
        following = self._following()
        return {} if following is None else lost_ranges(following, held)

    def _following(self) -> Optional[Dict[int, int]]:
        return next_offsets(self._checkpoint, self.topic)

    def _check_accepted(self, lost: Mapping[int, Tuple[int, int]], held: HeldOffsets) -> None:
        losses = [
            loss for loss in accepted_losses(self._files, self.lake, self.topic) if not held.is_other(loss.topic_id)
        ]
        if left := unaccepted(lost, ranges_of_stream(losses, self.stream)):
            raise LostOffsetsError(
                f"{self.stream}: topic {self.topic!r}: Kafka no longer has what is to be read next:"
                f" {told_ranges(left)}; nothing is skipped until somebody accepts the loss: `millrace accept-loss"
                f" {self.topic}` (or the DAG 'accept_loss'), then start again (clear the task)"
            )

    def _settled(self) -> HeldOffsets:
        """What Kafka holds. Raises LostOffsetsError where that is not the topic that the query has read from."""
        deadline = time.monotonic() + SETTLED_WITHIN.total_seconds()
        while True:
            held = held_offsets(self.spark, self.bootstrap, self.topic)
            self._check_topic(held)
            cut = cut_off(self._following() or {}, held)
            if not cut:
                return held
            if time.monotonic() > deadline:
                raise LostOffsetsError(
                    f"{self.stream}: topic {self.topic!r} ends in Kafka below what was read from it:"
                    f" {told_ranges(cut)}; {self._remedy()}"
                )
            time.sleep(1)

    def _check_topic(self, held: HeldOffsets) -> None:
        known = self._checkpoint.topic_id()
        if held.is_other(known):
            raise LostOffsetsError(
                f"{self.stream}: topic {self.topic!r} was deleted and created again in Kafka (id"
                f" {held.topic_id}, before {known}): its offsets count from 0 again, over records that are archived;"
                f" {self._remedy()}"
            )

    def _remedy(self) -> str:
        return (
            f"`millrace ledger {self.topic}` notes it for ever. Offsets of two topics are not mixed in one archive:"
            f" {NEW_TOPIC}, which says what to do where an interval has events in both"
        )

    def _note_topic(self, held: HeldOffsets) -> None:
        if held.topic_id and not self._files.exists(self._note):
            self._files.create(self._note, json.dumps({"topic": self.topic, "topic_id": held.topic_id}))

    def _written(self, sink: str) -> int:
        """The last micro-batch that the sink holds, -1 before the first."""
        query_id = self._checkpoint.query_id()
        number = last_transaction(self.spark, sink, query_id) if query_id else None
        return -1 if number is None else number

    @property
    def _files(self) -> LakeFiles:
        return LakeFiles(self.spark)

    @property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self._files, self._uri)

    @property
    def _uri(self) -> str:
        return f"{self.lake.root.rstrip('/')}/{self.stream}"

    @property
    def _note(self) -> str:
        return f"{self._uri}/{TOPIC_NOTE}"
