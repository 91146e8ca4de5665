"""A Kafka that says what a test wants: what it holds, answer by answer, and nothing but markers between records."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.environment import Environment
from millrace.lake.ledger.kafka_topic import NoAnswerError, TopicFacts
from millrace.lake.ledger.ranges import Range, Ranges

__all__ = ["FakeKafka"]

_LIMITS = {"cleanup.policy": "delete", "retention.ms": "86400000", "retention.bytes": "-1"}


class FakeKafka:
    """Give it to `update_ledger` as `ask`. Each answer: what partition 0 holds, None for none; the last one repeats."""

    def __init__(self, *answers: Range | None, topic_id: str | None = "id") -> None:
        self._answers: Sequence[Range | None] = answers
        self._topic_id = topic_id
        self.asked = 0

    def __call__(self, environment: Environment, topic: str) -> _Witness:
        held = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if held is None:
            raise NoAnswerError("Kafka is being restarted")
        return _Witness(TopicFacts(self._topic_id, {0: held}, _LIMITS))


class _Witness:
    def __init__(self, facts: TopicFacts) -> None:
        self.facts = facts

    def delivered(self, partition: int, ranges: Ranges, *, aborted: bool) -> Ranges:
        return []
