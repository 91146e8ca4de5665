"""What of the archive is another decoder's reading than a version's: see decision 25."""

from __future__ import annotations

from datetime import timedelta

from jobs.declaration import read_decoder
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.version import decoder_fingerprint
from millrace.environment import Environment
from millrace.lake.declared import is_here
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table, query
from millrace.lake.text_files import TextFiles

__all__ = ["read_otherwise"]


def read_otherwise(environment: Environment, pipeline: Pipeline, interval: Interval, version: str) -> int:
    """How many records that may be events of the interval's rows the archive has as another decoder than the version's
    read them: of the days that they are in, and dead letters. All of them, where nobody noted which decoder that is.

    `pipeline`: as the version was declared. A run of the batch layer decodes these anew; what reads the archive without
    Spark has to say that it does not.
    """
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    if table is None:
        return 0
    where = _in_reach(pipeline, pipeline.reads(interval))
    if "decoder" in {field.name for field in table.schema().fields}:  # an older Millrace made tables without
        where += f" AND decoder IS DISTINCT FROM '{_decoder(environment, pipeline, version)}'"
    (row,) = query(table, f"SELECT count(*) AS found FROM rows WHERE {where}")
    return int(row["found"])


def _decoder(environment: Environment, pipeline: Pipeline, version: str) -> str | None:
    if is_here(pipeline, version):
        return decoder_fingerprint(pipeline.topic)
    return read_decoder(TextFiles(LakeStore(environment)), Lake(""), version)


def _in_reach(pipeline: Pipeline, reads: Interval) -> str:
    """As `jobs.interval_events` finds them."""
    topic, last_day = pipeline.topic, (reads.end - timedelta(microseconds=1)).date()
    first, after = (reads.start - topic.max_ahead).isoformat(), (reads.end + topic.max_age).isoformat()
    dead = f"event_date IS NULL AND \"timestamp\" >= TIMESTAMP '{first}' AND \"timestamp\" < TIMESTAMP '{after}'"
    return f"(event_date BETWEEN DATE '{reads.start.date()}' AND DATE '{last_day}' OR {dead})"
