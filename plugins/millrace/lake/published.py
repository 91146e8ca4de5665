"""The table `published`: the run of each interval that answers for a version. One small commit publishes it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from jobs.accepted_losses import lost_from
from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.run_reads import read_span, read_topic
from jobs.serving import versions_by_interval
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted
from millrace.lake.certificate import Certificate
from millrace.lake.gate import check_parity
from millrace.lake.run_extent import check_extent
from millrace.lake.serving import begin_serving, preferred_versions

__all__ = [
    "Publication",
    "all_publications",
    "publication_line",
    "publication_of",
    "publications",
    "publications_of",
    "publish",
    "served_publications",
]

_SCHEMA = pa.schema(
    [
        ("pipeline", pa.string()),
        ("_interval", pa.string()),
        ("interval_start", pa.timestamp("us", tz="UTC")),
        ("interval_end", pa.timestamp("us", tz="UTC")),
        ("run", pa.string()),
        ("version", pa.string()),
        ("raw_version", pa.int64()),
        ("certificate", pa.string()),
        ("result", pa.string()),
        ("published_at", pa.timestamp("us", tz="UTC")),
    ]
)
_ATTEMPTS = 20


@dataclass(frozen=True)
class Publication:
    """A row of `published`. `result` is what the run counted: see `jobs.reprocess.reprocess`.

    `lost`: the accepted losses, as of when it was read, that may have taken events from it (`jobs.accepted_losses`).
    """

    pipeline: str
    interval: Interval
    run: str
    version: str
    raw_version: int
    certificate: dict[str, Any]
    result: dict[str, Any]
    published_at: datetime
    lost: tuple[str, ...] = ()

    @property
    def partial(self) -> list[str]:
        """Why the archive was not proven complete when the run read it, and what was accepted as lost since.

        Empty where the run has read all.
        """
        return list(dict.fromkeys([*self._told, *self.lost]))

    @property
    def is_proven(self) -> bool:
        """Whether its archive was proven complete, but for what somebody accepted as lost: no run betters that."""
        return set(self._told) <= set(self.lost)

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """Of two runs of one version and interval the greater answers: see docs/decisions/0031.

        What is proven goes before what is more: an archive that had rows twice was read in full as well.
        """
        return self.is_proven, not self.partial, int(self.result.get("rows_read") or 0), self.raw_version

    @property
    def _told(self) -> list[str]:
        """What the certificate says."""
        return list(self.certificate.get("partial") or [])


def publish(
    environment: Environment,
    pipeline: Pipeline,
    interval: Interval,
    *,
    run: str,
    version: str,
    certificate: Certificate,
    result: dict[str, Any],
) -> bool:
    """This run answers for the interval from now on where its version is asked, in place of an older one.

    Other versions keep theirs; which version is served is said by `millrace.lake.serving`: the first ever published is.
    False when one of the same version is published that ranks above it (see `Publication.rank`): runs may end in any
    order, and however many do, the one of the greatest rank is published per version. Where this run is, as by a task
    that was killed then, nothing is committed. Safe to call at once.

    Raises ParityError where the layers differ and it is not known why (see `millrace.lake.gate`), and MillraceError
    where the run read something else than what its certificate proves (see `millrace.lake.run_extent`).
    """
    check_extent(pipeline, interval, run, certificate, result)
    check_parity(pipeline, interval, run, result)
    begin_serving(environment, pipeline, version, by=f"run {run}")
    new = Publication(
        pipeline.name, interval, run, version, certificate.raw_version, certificate.to_json(), result, datetime.now(UTC)
    )
    for attempt in range(_ATTEMPTS):
        table, old = _standing(environment, pipeline, interval, version)
        (new,) = _with_losses(environment, pipeline, [new])  # after `old`: no loss makes that one partial alone
        is_published = any(each.run == run for each in old)
        if is_published or any(each.rank > new.rank for each in old):
            return is_published
        try:
            _commit(environment, table, new)
            return True
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.1 * (attempt + 1)))
    raise MillraceError(
        f"pipeline {pipeline.name!r}: interval {interval.id} could not be published in {_ATTEMPTS} attempts, others"
        " kept committing; clear this task to try again"
    )


def publication_line(published: bool, partial: Sequence[str]) -> str:
    """What became of a run, in words; `partial`: why its archive was not proven complete."""
    if not published:
        return "not published: a run that proves more, or read as much or more of the archive, is"
    return f"published as partial: {'; '.join(partial)}" if partial else "published"


def publications(environment: Environment, pipeline: Pipeline) -> list[Publication]:
    """What is served of a pipeline, oldest interval first: one per interval, of whichever version serves it."""
    versions = preferred_versions(environment, pipeline)  # first: see docs/decisions/0011
    return served_publications(all_publications(environment, pipeline), versions)


def publications_of(environment: Environment, pipeline: Pipeline, version: str) -> list[Publication]:
    """What one version has published, served or not, oldest interval first."""
    return [found for found in all_publications(environment, pipeline) if found.version == version]


def publication_of(
    environment: Environment, pipeline: Pipeline, interval: Interval, version: str
) -> Publication | None:
    """What a version has published of an interval, served or not."""
    return next(iter(_standing(environment, pipeline, interval, version)[1]), None)


def all_publications(environment: Environment, pipeline: Pipeline) -> list[Publication]:
    """What every version has published, oldest interval first: one per version and interval."""
    table = _open(environment)
    return [] if table is None else _read(environment, table, pipeline)


def served_publications(published: Iterable[Publication], versions: Sequence[str]) -> list[Publication]:
    """Those of `published` that are served where `versions` is the order of preference: one per interval."""
    found = list(published)
    chosen = versions_by_interval([(each.interval.id, each.version) for each in found], versions)
    return [each for each in found if chosen.get(each.interval.id) == each.version]


def _open(environment: Environment) -> DeltaTable | None:
    try:
        return DeltaTable(Lake(environment.lake).published, storage_options=environment.delta_options())
    except TableNotFoundError:
        return None


def _standing(
    environment: Environment, pipeline: Pipeline, interval: Interval, version: str
) -> tuple[DeltaTable | None, list[Publication]]:
    """The table, and what it has of an interval under a version: one publication, or none."""
    table = _open(environment)
    return table, [] if table is None else _read(environment, table, pipeline, interval, version)


def _read(
    environment: Environment,
    table: DeltaTable,
    pipeline: Pipeline,
    interval: Interval | None = None,
    version: str | None = None,
) -> list[Publication]:
    wanted = {"pipeline": pipeline.name, "_interval": interval and interval.id, "version": version}
    filters = [(name, "=", value) for name, value in wanted.items() if value]
    found = map(_publication, table.to_pyarrow_table(filters=filters).to_pylist())
    return _with_losses(environment, pipeline, sorted(found, key=lambda publication: publication.interval))


def _with_losses(environment: Environment, pipeline: Pipeline, published: Sequence[Publication]) -> list[Publication]:
    """The same, each with what is accepted as lost from it by now; asked after they were read."""
    topics = {read_topic(pipeline, each.certificate) for each in published}
    losses = {topic: accepted(environment, topic) for topic in topics}
    found = []
    for each in published:
        span = read_span(pipeline, each.interval, each.result)
        of_topic = losses[read_topic(pipeline, each.certificate)]
        found.append(replace(each, lost=tuple(lost_from(of_topic, each.certificate, span.start, span.end))))
    return found


def _publication(row: dict[str, Any]) -> Publication:
    return Publication(
        row["pipeline"],
        Interval(row["interval_start"], row["interval_end"]),
        row["run"],
        row["version"],
        row["raw_version"],
        json.loads(row["certificate"]),
        json.loads(row["result"]),
        row["published_at"],
    )


def _commit(environment: Environment, table: DeltaTable | None, new: Publication) -> None:
    """Replaces its version's row of the interval.

    Based on the table as it was read, so that a concurrent change is a conflict.
    """
    row = {
        "pipeline": new.pipeline,
        "_interval": new.interval.id,
        "interval_start": new.interval.start,
        "interval_end": new.interval.end,
        "run": new.run,
        "version": new.version,
        "raw_version": new.raw_version,
        "certificate": json.dumps(new.certificate),
        "result": json.dumps(new.result),
        "published_at": new.published_at,
    }
    rows = pa.Table.from_pylist([row], schema=_SCHEMA)
    if table is None:
        _create(environment)
        raise CommitFailedError("created `published`; read it again")
    write_deltalake(
        table,
        rows,
        mode="overwrite",
        predicate=f"pipeline = '{new.pipeline}' AND version = '{new.version}' AND _interval = '{new.interval.id}'",
    )


def _create(environment: Environment) -> None:
    # Without retries: two that create it at once would both commit, the later one over what the first has written.
    with suppress(CommitFailedError):
        DeltaTable.create(
            Lake(environment.lake).published,
            schema=_SCHEMA,
            mode="ignore",
            partition_by=["pipeline", "version", "_interval"],
            storage_options=environment.delta_options(),
            commit_properties=CommitProperties(max_commit_retries=0),
        )
