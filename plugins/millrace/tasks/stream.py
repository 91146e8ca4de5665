"""What follows a stream's task, however that ended."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta

from millrace.supervision.connection import Connection, connect
from millrace.supervision.control import followed_stream
from millrace.supervision.generation import Generation, TaskTry, run_token
from millrace.supervision.supervision import Supervision

__all__ = ["stop_left", "stop_left_driver"]

_log = logging.getLogger(__name__)
_GRACE = timedelta(seconds=60)


def stop_left_driver(query: str, environment: str | None, ti: TaskTry) -> None:
    """Stop the query's driver if it is still supervised by the run of `ti`, whose stream has ended.

    A trigger stops its driver when a person marks the task. This makes sure of it: no trigger hears of the mark while
    the triggerer is down.
    """
    stop_left(query, connect(environment), ti)


def stop_left(query: str, connection: Connection, ti: TaskTry) -> None:
    """The same, for a connection at hand."""
    stream = followed_stream(connection.notes, query) or query
    supervision = Supervision(stream, Generation(run_token(ti), sys.maxsize), connection)
    if supervision.find() is None:
        _log.info("query %s: no driver is left", query)
        return
    _log.info("%s", supervision.stop_own("its task has ended", _GRACE))
