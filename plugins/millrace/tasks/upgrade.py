"""The steps of `<pipeline>__upgrade` that need no Spark: each runs in a worker, on the lake alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import speed_query, speed_stream, upgrade_query
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.supervision.connection import connect, environment_for_task
from millrace.supervision.control import StreamControl
from millrace.supervision.generation import Generation, TaskTry, run_token
from millrace.tasks.comparison_table import comparison_lines

__all__ = [
    "Plan",
    "compare_with_served",
    "is_candidate_caught_up",
    "plan_upgrade",
    "switch_version",
    "withdraw_candidate",
]

_log = logging.getLogger(__name__)
_PATIENCE = timedelta(seconds=20)
_LAST_PATIENCE = timedelta(minutes=2)


class Plan(TypedDict):
    """What an upgrade does: `version` takes the place of `served`; `intervals` (ids) are run under it before that.

    `serving`: the number of the switch that is in force.
    """

    version: str
    served: str
    serving: int
    intervals: list[str]


def plan_upgrade(pipeline: Pipeline, backfill_days: float | None, environment_name: str | None) -> Plan:
    """The version of the code here against the served one; raises AirflowSkipException where nothing is to be done.

    The intervals are those that are published and served, but not by the new version, of the last `backfill_days`;
    those that both have published, where the served version has more since. And those that the speed layer serves and
    that lie before them: the new stream begins behind what is published. Not those of another topic, that the pipeline
    read once: its records are not in the archive that a run would read now.
    Raises AirflowFailException where the intervals of the new version are of another length: it could not be served.
    """
    from jobs.version import fingerprint
    from millrace.lake.readiness import topic_changes
    from millrace.lake.serving import current_serving

    environment, version = environment_for_task(environment_name), fingerprint(pipeline)
    serving = current_serving(environment, pipeline)
    if serving is None:
        raise AirflowSkipException(
            f"{pipeline.name}: no version is served yet; the first that runs or publishes will be"
        )
    if serving.versions[0] == version:
        raise AirflowSkipException(f"{pipeline.name}: the code here is version {version}, which is served")
    _refuse_another_length(environment, pipeline)
    since = None if backfill_days is None else datetime.now(UTC) - timedelta(days=backfill_days)
    before = _before_the_published(environment, pipeline, version, serving.versions[0])
    intervals = [*before, *_to_backfill(environment, pipeline, version, since)]
    _log.info("version %s is to take the place of %s", version, serving.versions[0])
    _log.info("%d intervals are to be run under it: %s", len(intervals), ", ".join(each.id for each in intervals))
    for problem in topic_changes(environment, pipeline, version):
        _log.warning("as it is now, the switch would be refused: %s", problem)
    ids = [each.id for each in intervals]
    return Plan(version=version, served=serving.versions[0], serving=serving.number, intervals=ids)


def is_candidate_caught_up(
    pipeline: Pipeline, plan: Plan, environment_name: str | None, candidate_state: Callable[[], str | None]
) -> bool:
    """Whether the candidate's stream has processed all that the served one has.

    Raises AirflowFailException where the candidate's task has ended, for then it never will.
    """
    from millrace.lake.catch_up import is_caught_up, records_behind

    environment = environment_for_task(environment_name)
    if is_caught_up(environment, pipeline, plan["version"], plan["served"], _PATIENCE):
        _log.info("version %s has processed all that %s has", plan["version"], plan["served"])
        return True
    _refuse_ended(candidate_state())
    behind = records_behind(environment, pipeline, plan["version"], plan["served"])
    _log.info("version %s is %s records behind %s", plan["version"], f"{behind:,}", plan["served"])
    return False


def compare_with_served(pipeline: Pipeline, plan: Plan, environment_name: str | None) -> str:
    """How the answers of both versions differ, as Markdown: what is equal, and the first intervals that differ.

    Also in the log. Where they cannot be compared, why; and where they read two topics, what the view would lack.
    """
    from millrace.lake.compare_versions import compare_versions
    from millrace.lake.readiness import topic_changes

    environment, served, version = environment_for_task(environment_name), plan["served"], plan["version"]
    try:
        lines = comparison_lines(pipeline.name, compare_versions(environment, pipeline, served, version))
    except UsageError as error:  # such as another key: whoever approves is to know
        lines = [str(error)]
    lines += [f"version {version}: {problem}" for problem in topic_changes(environment, pipeline, version)]
    for line in lines:
        _log.info("%s", line)
    return "\n".join(["```", *lines, "```"])


def switch_version(
    pipeline: Pipeline,
    plan: Plan,
    environment_name: str | None,
    run_id: str,
    candidate_state: Callable[[], str | None],
    leave_events: bool = False,
) -> None:
    """Serves the new version, in one commit, once it has caught up again; nothing happens where it is served.

    Raises AirflowFailException where the candidate's task has ended. Raises MillraceError where it has not caught up
    within two minutes, or readers would still miss what they have now, and where another version has been served
    meanwhile. What the old version alone has published, it goes on serving. `leave_events`: also where the new version
    reads another topic, which lacks events of the view.
    """
    from millrace.lake.readiness import await_ready
    from millrace.lake.serving import served_version, switch

    environment, version, served = environment_for_task(environment_name), plan["version"], plan["served"]
    if served_version(environment, pipeline) == version:
        _log.info("version %s is served already", version)
        return
    _refuse_ended(candidate_state())
    await_ready(environment, pipeline, version, wait=_LAST_PATIENCE, allow_older=True, leave_events=leave_events)
    by = f"{upgrade_query(pipeline.name)}, run {run_id}"
    switch(environment, pipeline, version, by, f"upgrade from {served}", expected=served)
    _log.info("version %s is served; `millrace rollback %s` goes back to %s", version, pipeline.name, served)
    if left := " ".join(interval.id for interval in _to_backfill(environment, pipeline, version, None)):
        _log.warning("older versions go on serving what only they have published: %s", left)
        _log.warning("`millrace reprocess %s %s` runs that under version %s", pipeline.name, left, version)


def withdraw_candidate(pipeline: Pipeline, plan: Plan | None, environment_name: str | None, ti: TaskTry) -> None:
    """Stops the candidate that this run supervises, whose task ends with it, and fails: the upgrade did not happen.

    The served version, its stream and what it published are left alone.
    """
    from millrace.lake.serving import served_version

    if plan is not None:
        connection, stream = connect(environment_name), speed_stream(pipeline.name, plan["version"])
        if served_version(connection.environment, pipeline) == plan["version"]:
            raise AirflowFailException(
                f"{pipeline.name}: version {plan['version']} is served, though a task failed after the switch; the task"
                f" of `{speed_query(pipeline.name)}` keeps its stream, `millrace rollback {pipeline.name}` goes back"
            )
        running, control = connection.platform.find(stream), StreamControl(connection.notes, stream)
        mine = Generation(run_token(ti), sys.maxsize)
        if running is None or mine.may_stop(control.supervisor(running)):
            control.request_stop("*" if running is None else running.owner, "the upgrade was withdrawn")
    raise AirflowFailException(
        f"{pipeline.name}: the upgrade was withdrawn: the task that failed says why. What is served has not changed;"
        " what the new version has published stays hidden, and the next upgrade to it goes on from there"
    )


def _refuse_ended(candidate: str | None) -> None:
    if candidate in ("failed", "success", "skipped", "removed", "upstream_failed"):
        raise AirflowFailException(f"the candidate's stream has ended ({candidate}): its task's log says why")


def _refuse_another_length(environment: Environment, pipeline: Pipeline) -> None:
    from millrace.lake.published import publications
    from millrace.lake.readiness import length_problems

    for problem in length_problems(publications(environment, pipeline), pipeline.interval):
        raise AirflowFailException(f"{pipeline.name}: {problem}")


def _before_the_published(environment: Environment, pipeline: Pipeline, version: str, served: str) -> list[Interval]:
    from millrace.lake.pending_late import is_of_topic
    from millrace.lake.published import publications, publications_of
    from millrace.lake.versions import speed_intervals

    mine = (found for found in publications(environment, pipeline) if is_of_topic(pipeline, found))
    oldest = min((found.interval.id for found in mine), default="")
    done = {found.interval.id for found in publications_of(environment, pipeline, version)}
    found = sorted(speed_intervals(environment, pipeline).get(served, ()))
    return [Interval.parse(each, pipeline.interval) for each in found if each < oldest and each not in done]


def _to_backfill(environment: Environment, pipeline: Pipeline, version: str, since: datetime | None) -> list[Interval]:
    from millrace.lake.outdated import outdated
    from millrace.lake.pending_late import is_of_topic
    from millrace.lake.published import publications, publications_of

    done = {found.interval for found in publications_of(environment, pipeline, version)}
    served = [found.interval for found in publications(environment, pipeline) if is_of_topic(pipeline, found)]
    lacking = outdated(environment, pipeline, version)  # however old: it would take an answer back
    return [each for each in served if each in lacking or (each not in done and (since is None or each.end > since))]
