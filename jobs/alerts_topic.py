"""Declaring a pipeline's alerts: rows that leave for a Kafka topic within milliseconds. No Spark import here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Optional, Tuple

from jobs.errors import DeclarationError
from jobs.topic import KAFKA_NAME, METADATA_COLUMNS
from jobs.transform import Transforming

__all__ = ["Alerts"]


@dataclass(frozen=True)
class Alerts(Transforming):
    """Which events of a pipeline's topic become alerts, and the Kafka topic that they go to.

    `transform`: `package.module:function`, a pure `DataFrame -> DataFrame` that looks at one event at a time: it
    filters, computes and explodes, and neither aggregates, joins nor sorts. It gets what the pipeline's own
    transformation gets (the topic's fields, `_partition`, `_offset`), and its rows must hold `key`, `_partition` and
    `_offset`: by these three a consumer recognises a row that is delivered twice.

    `key` becomes the record's key. `partitions` and `retention` (how long Kafka keeps an alert at least; None: for
    ever) are those of the alerts topic, which is made as the declared topics are.

    Alerts are no answers: they belong to no version, and nothing is rebuilt when they change.
    """

    topic: str
    transform: str
    key: Tuple[str, ...]
    partitions: int = 3
    retention: Optional[timedelta] = timedelta(days=7)

    def __post_init__(self) -> None:
        if not KAFKA_NAME.fullmatch(self.topic):
            self._refuse("topic", self.topic, "is not a Kafka topic name", "use letters, digits, . _ -")
        if not self.names_a_function:
            self._refuse("transform", self.transform, "is not package.module:function", "write it so")
        self._check_key()
        if self.partitions < 1:
            self._refuse("partitions", self.partitions, "is below 1", "use 1 or more")
        kept = self.retention
        if kept is not None and (kept <= timedelta(0) or kept % timedelta(seconds=1)):
            rule = "is not a positive number of seconds"
            self._refuse("retention", str(kept), rule, "use whole seconds, or None to keep all")

    def _check_key(self) -> None:
        if isinstance(self.key, str):
            self._refuse("key", self.key, "is one text, not a tuple of names", f"write ({self.key!r},)")
        if not self.key:
            self._refuse("key", self.key, "is empty", "name the columns that identify what an alert is about")
        for name in self.key:
            if name in METADATA_COLUMNS:
                self._refuse("key", name, "is in each alert anyway", "leave it out")

    def _refuse(self, field: str, value: object, rule: str, remedy: str) -> None:
        raise DeclarationError(f"alerts {self.topic!r}", field, value, rule, remedy)
