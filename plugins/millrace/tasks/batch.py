"""The steps of a batch run that need no Spark: each runs in a worker, on the lake alone."""

from __future__ import annotations

import logging
from typing import Any

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines import find_pipeline
from millrace.supervision.connection import environment_for_task
from millrace.tasks.parity_table import parity_lines

__all__ = ["certify_topic", "log_parity", "publish_run"]

_log = logging.getLogger(__name__)


def certify_topic(pipeline_name: str, environment_name: str | None) -> dict[str, Any]:
    """The certificate of a run: waits until the archive holds what Kafka holds now. Raises MillraceError if not."""
    from millrace.lake.certificate import certify  # here, as below: parsing a DAG loads no client of the lake

    certificate = certify(environment_for_task(environment_name), find_pipeline(pipeline_name).topic).to_json()
    _log.info("certificate: %s", certificate)
    return certificate


def log_parity(pipeline_name: str, interval_id: str, run: str, environment_name: str | None) -> dict[str, int]:
    """Writes the parity of a run to the task's log; returns its counts."""
    result = _result(pipeline_name, run, environment_name)
    for line in parity_lines(pipeline_name, interval_id, result):
        _log.info("%s", line)
    return {name: value for name, value in (result.get("parity") or {}).items() if isinstance(value, int)}


def publish_run(
    pipeline_name: str, interval_id: str, run: str, certificate: dict[str, Any], environment_name: str | None
) -> bool:
    """Publishes the run; False where a newer one of the interval is published already."""
    from jobs.version import fingerprint
    from millrace.lake.certificate import Certificate
    from millrace.lake.published import publish

    pipeline = find_pipeline(pipeline_name)
    interval = Interval.parse(interval_id, pipeline.interval)
    result = _result(pipeline_name, run, environment_name)
    published = publish(
        environment_for_task(environment_name),
        pipeline,
        interval,
        run=run,
        version=result.get("version") or fingerprint(pipeline),
        certificate=Certificate.from_json(certificate),
        result=result,
    )
    _log.info("interval %s: run %s %s", interval.id, run, "published" if published else "superseded, not published")
    return bool(published)


def _result(pipeline_name: str, run: str, environment_name: str | None) -> dict[str, Any]:
    """What the reprocess wrote about its run. Raises MillraceError where there is nothing."""
    from millrace.lake.store import LakeStore

    path = Lake("").run_result(pipeline_name, run)
    result: dict[str, Any] | None = LakeStore(environment_for_task(environment_name)).read_json(path)
    if result is None:
        raise MillraceError(f"run {run!r} of {pipeline_name!r}: {path} is not on the lake; clear its reprocess task")
    return result
