"""Ending replication, before one of its clusters goes."""

from __future__ import annotations

from datetime import timedelta

from millrace.environment import Environment
from millrace.home import Home
from millrace.replication.job import REPLICATE, mirror_connection, secrets_file
from millrace.supervision.control import StreamControl
from millrace.waiting import until

__all__ = ["stop_replication"]

_CANCEL_GRACE = timedelta(seconds=3)


def stop_replication(
    environment: Environment,
    home: Home,
    reason: str,
    *,
    stay_stopped: bool,
    grace: timedelta = timedelta(seconds=30),
) -> list[str]:
    """Ask MirrorMaker on this machine to stop, and cancel it after `grace`; what happened, empty where nothing ran.

    With `stay_stopped` its task succeeds, also where it waits for its restart. Without, it starts it again.
    """
    if not (home.replication / environment.name).exists():
        return []
    connection = mirror_connection(environment, home)
    running, control = connection.platform.find(REPLICATE), StreamControl(connection.notes, REPLICATE)
    if running or stay_stopped:
        control.request_stop("*", reason, by_supervisor=not stay_stopped)
    if running is None:
        secrets_file(environment, home).unlink(missing_ok=True)  # of one that was killed
        return []
    if until(lambda: connection.platform.find(REPLICATE) is None, grace):
        return [f"{REPLICATE}: ended"]
    connection.platform.cancel(running.id, _CANCEL_GRACE)
    secrets_file(environment, home).unlink(missing_ok=True)  # who was to do it may have been killed
    return [f"{REPLICATE}: cancelled"]
