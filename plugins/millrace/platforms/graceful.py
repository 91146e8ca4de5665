"""A stream ends after its micro-batch by a request on the lake: on clusters there is no signal that a driver hears."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from millrace.platforms.protocol import RunningJob
from millrace.supervision.control import Notes, StreamControl
from millrace.waiting import until

__all__ = ["is_endless", "stop_gracefully"]

_log = logging.getLogger(__name__)
_ENDLESS = frozenset({"archive", "speed", "alerts"})
_POLL = timedelta(seconds=1)


def is_endless(arguments: tuple[str, ...]) -> bool:
    """Whether a driver with these arguments runs a stream, which ends only when it is asked to."""
    return bool(_ENDLESS & set(arguments[:1]))


def stop_gracefully(notes: Notes, job: RunningJob, has_ended: Callable[[], bool], grace: timedelta) -> None:
    """Ask a stream's driver to stop after its micro-batch, and wait until it has ended, or for `grace`.

    A batch job is asked nothing: it hears nothing. A request that lies there for this driver already stays as it is;
    one of ours does not outlast the wait, so that what follows from the end is as if a signal had ended the driver.
    A lake that does not answer keeps nobody from cancelling. Raises what `has_ended` raises.
    """
    if grace <= timedelta(0) or not is_endless(job.arguments):
        return
    control = StreamControl(notes, job.name)
    try:
        request = control.stop_request()
        is_asked = request is not None and request.targets(job.owner)
        if not is_asked:
            control.request_stop(job.owner, "its job is cancelled", by_supervisor=True)
    except Exception as error:  # noqa: BLE001 - whatever a client of a lake that is down raises
        _log.warning("%s: its driver cannot be asked to stop: %s", job.name, error)
        return
    try:
        until(has_ended, grace, min(grace, _POLL))
    finally:
        if not is_asked:
            _withdraw(control, job.name)


def _withdraw(control: StreamControl, name: str) -> None:
    try:
        control.withdraw_stop()
    except Exception as error:  # noqa: BLE001 - as above; the next driver's start withdraws it too
        _log.warning("%s: the request to stop stays: %s", name, error)
