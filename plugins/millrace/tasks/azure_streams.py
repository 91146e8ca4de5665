"""Stopping the streams whose lake is about to go, or whose clusters are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobs.errors import MillraceError

if TYPE_CHECKING:
    from millrace.azure.environments import Environments
    from millrace.environment import Environment
    from millrace.lake.store import LakeStore

__all__ = ["stop_streams"]

_log = logging.getLogger(__name__)
_WITHIN = timedelta(minutes=10)


def stop_streams(
    tagged: str, azure: Environments, active_runs: Callable[[str], int], within: timedelta = _WITHIN
) -> list[str]:
    """The streams whose lake lies in what bears the tag `tagged` stop after their micro-batch, and stay stopped; which.

    The environment's files say whose lake that is, by the storage account. `active_runs` counts the running runs of a
    DAG of this Airflow. With nothing that bears the tag, nothing happens. Raises MillraceError where no file names such
    an account, and for streams that are still active `within` that time: what they read and write by would be deleted.
    """
    from millrace.environment import environments_on

    accounts = azure.storage_accounts(tagged)
    if not accounts:
        _log.info("no storage account bears the tag of environment %s, so no stream has its lake there", tagged)
        return []
    names = environments_on(accounts)
    if not names:
        raise MillraceError(
            f"environment {tagged} has the storage account {', '.join(accounts)}, which is lake.account in no file of"
            " infra/environments, so its streams are not known here; correct that file, or, where no stream runs there,"
            " switch *Stop streams* off"
        )
    return sorted(query for name in names for query in _stop(name, active_runs, within))


def _stop(name: str, active_runs: Callable[[str], int], within: timedelta) -> set[str]:
    """Those of one environment."""
    from azure.core.exceptions import AzureError

    from millrace.environment import default_environment
    from millrace.home import Home
    from millrace.lake.store import LakeStore
    from millrace.replication.stop import stop_replication
    from millrace.supervision.connection import environment_for_task
    from millrace.supervision.stop_jobs import ask_to_stop, stream_queries
    from millrace.waiting import until

    environment = environment_for_task(name)
    store = LakeStore(environment)
    for line in stop_replication(environment, Home.current(), "teardown", stay_stopped=True):
        _log.info("environment %s: %s", name, line)
    # The streams' DAGs run in Airflow's own environment; whoever keeps another's is known by its drivers alone.
    dags = stream_queries() if name == default_environment() else []

    def active() -> set[str]:
        return {query for query in dags if active_runs(query)} | _held(store)

    left: set[str] = set()

    def have_ended() -> bool:
        left.clear()
        left.update(active())
        return not left

    try:
        streams = active()
        ask_to_stop(environment, "teardown")  # also one that waits for its restart
        if not until(have_ended, within):
            raise MillraceError(_still_active(environment, left, within))
    except AzureError as error:
        raise MillraceError(
            f"environment {name!r}: its lake {environment.lake} cannot be reached, so no stream can be asked to stop:"
            f" {error}; where no stream runs there, switch *Stop streams* off"
        ) from error
    _log.info("environment %s: stopped: %s", name, ", ".join(sorted(streams)) or "no stream was active")
    return streams


def _held(store: LakeStore) -> set[str]:
    """The streams whose driver holds its lock: it runs, whoever started it (see `jobs.lock`)."""
    from jobs.lake import Lake
    from millrace.supervision.stop_jobs import is_stream

    found = {query: store.read_json(Lake("").lock(query)) for query in store.folders("control") if is_stream(query)}
    now = datetime.now(UTC)
    return {query for query, lock in found.items() if lock and datetime.fromisoformat(lock["expires_at"]) > now}


def _still_active(environment: Environment, left: set[str], within: timedelta) -> str:
    return (
        f"environment {environment.name!r}: streams {', '.join(sorted(left))} are still active, {within} after they"
        " were asked to stop; a paused DAG ends when it is unpaused; or mark their tasks as success; then clear this"
        " task"
    )
