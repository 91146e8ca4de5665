"""What DAGs do about replication, beside keeping MirrorMaker alive."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta

from jobs.errors import MillraceError
from millrace.replication.job import REPLICATE, connect_mirror, revive_broker, unanswered
from millrace.supervision.generation import TaskTry
from millrace.tasks.stream import stop_left

__all__ = ["check", "stop_left_mirror"]

_log = logging.getLogger(__name__)
_PATIENCE = timedelta(minutes=1)


def stop_left_mirror(environment: str | None, ti: TaskTry) -> None:
    """Stop MirrorMaker if it is still supervised by the run of `ti`, whose task has ended."""
    stop_left(REPLICATE, connect_mirror(environment), ti)


def check(environment: str | None) -> list[dict[str, object]]:
    """What the comparison of both clusters found, per partition; raises MillraceError where the replica lacks a record,
    or a cluster does not answer."""
    from millrace.replication.check import check_replica, verdict  # here: parsing a DAG does not load it

    where = connect_mirror(environment).environment
    if missing := unanswered(where):
        raise MillraceError(missing)
    revive_broker(where)
    reports = []
    for report in check_replica(where, _PATIENCE):
        reports.append(report)
        _log.info("%s", report.line())
    if lacking := verdict(reports):
        raise MillraceError(lacking)
    return [asdict(report) for report in reports]
