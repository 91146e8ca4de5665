"""What a producer did, to the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jobs.errors import MillraceError


@dataclass(frozen=True)
class Written:
    """Acknowledged records of one partition; `first` and `last` are the lowest and highest of their offsets."""

    first: int
    last: int
    records: int


@dataclass(frozen=True)
class Failure:
    """One record that Kafka did not take. `partition` and `offset` are None where none was assigned."""

    partition: int | None
    offset: int | None
    reason: str

    def __str__(self) -> str:
        partition = "?" if self.partition is None else self.partition
        offset = "?" if self.offset is None else self.offset
        return f"partition {partition}, offset {offset}: {self.reason}"


@dataclass(frozen=True)
class Summary:
    """The end of one run: produced = acknowledged + failed, and `kinds` adds up to produced.

    Failed records were refused, or never acknowledged: of the latter, some may be in Kafka nevertheless.
    """

    topic: str
    produced: int
    acknowledged: int
    failed: int
    partitions: Mapping[int, Written]
    kinds: Mapping[str, int]
    seconds: float
    """Wall time from the first record to the last acknowledgement."""
    stopped: bool = False
    """True if a signal ended the run before the records did."""

    @property
    def rate(self) -> float:
        """Acknowledged records per second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: partitions are keyed by their number as text."""
        partitions = {str(number): asdict(written) for number, written in sorted(self.partitions.items())}
        numbers = {"seconds": round(self.seconds, 3), "rate": round(self.rate, 1)}
        return {**asdict(self), **numbers, "partitions": partitions, "kinds": dict(sorted(self.kinds.items()))}


class DeliveryFailedError(MillraceError):
    """Some records were not taken by Kafka; `summary` counts them and `failures` holds the first ones."""

    def __init__(self, summary: Summary, failures: tuple[Failure, ...]) -> None:
        self.summary = summary
        self.failures = failures
        shown = "; ".join(map(str, failures[:5]))
        more = f"; and {summary.failed - 5} more" if summary.failed > 5 else ""
        super().__init__(
            f"topic {summary.topic!r}: {summary.failed} of {summary.produced} records not delivered ({shown}{more}); "
            "all in-sync replicas must acknowledge each; look at the reason before sending again: what was in flight "
            "may have arrived"
        )
