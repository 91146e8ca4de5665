"""The steps of a batch run that need no Spark: each runs in a worker, on the lake alone."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines import find_pipeline
from millrace.supervision.connection import environment_for_task
from millrace.tasks.parity_table import parity_lines

__all__ = ["log_parity", "publish_run"]

_log = logging.getLogger(__name__)


def log_parity(
    pipeline_name: str, interval_id: str, run: str, certificate: dict[str, Any], environment_name: str | None
) -> dict[str, int]:
    """Writes the parity of a run to the task's log, and whether it is partial; returns its counts.

    Raises AirflowFailException where differences are unexplained: trying again would not explain them.
    """
    from millrace.lake.gate import ParityError, check_parity

    result, pipeline = _result(pipeline_name, interval_id, run, environment_name), find_pipeline(pipeline_name)
    for line in parity_lines(pipeline_name, interval_id, result, certificate["partial"]):
        _log.info("%s", line)
    try:
        check_parity(pipeline, Interval.parse(interval_id, pipeline.interval), run, result)
    except ParityError as error:
        raise AirflowFailException(str(error)) from error
    return {name: value for name, value in (result.get("parity") or {}).items() if isinstance(value, int)}


def publish_run(
    pipeline_name: str, interval_id: str, run: str, certificate: dict[str, Any], environment_name: str | None
) -> bool:
    """Publishes the run, and logs it, loudly where it is partial; False where a better one is published already."""
    from millrace.lake.certificate import Certificate
    from millrace.lake.late_records import publish_and_record
    from millrace.lake.published import publication_line

    pipeline = find_pipeline(pipeline_name)
    interval = Interval.parse(interval_id, pipeline.interval)
    result = _result(pipeline_name, interval_id, run, environment_name)
    proven = Certificate.from_json(certificate)
    environment = environment_for_task(environment_name)
    published = publish_and_record(environment, pipeline, interval, run=run, certificate=proven, result=result)
    level = logging.WARNING if published and proven.partial else logging.INFO
    _log.log(level, "interval %s: run %s: %s", interval.id, run, publication_line(published, proven.partial))
    return published


def _result(pipeline_name: str, interval_id: str, run: str, environment_name: str | None) -> dict[str, Any]:
    """What the reprocess wrote about its run. Raises MillraceError where there is nothing."""
    from millrace.lake.speed_removal import as_compared
    from millrace.lake.store import LakeStore

    path, environment = Lake("").run_result(pipeline_name, run), environment_for_task(environment_name)
    result = LakeStore(environment).read_json(path)
    if result is None:
        raise MillraceError(f"run {run!r} of {pipeline_name!r}: {path} is not on the lake; clear its reprocess task")
    return as_compared(environment, pipeline_name, interval_id, result)
