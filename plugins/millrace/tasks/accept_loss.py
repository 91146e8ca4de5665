"""Accepting loss from Airflow."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.topics import find_topic
from millrace.supervision.connection import environment_for_task

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["accept_topic_loss", "who_triggered"]

_log = logging.getLogger(__name__)


def accept_topic_loss(
    topic: str, reason: str, versions: Sequence[str], confirm: bool, who: str, environment_name: str | None
) -> dict[str, Any]:
    """Logs what of the topic is lost; with `confirm`, accepts exactly that. Returns both, as JSON. `versions`: see
    `find_lost`.

    Raises MillraceError where Kafka cannot be asked, where it has another topic of that name, and without a reason.
    """
    from millrace.cli.accept_loss import content
    from millrace.lake.accepted_loss import accept_loss
    from millrace.lake.lost_offsets import find_lost

    environment = environment_for_task(environment_name)
    lost = find_lost(environment, find_topic(topic), versions)
    told = content(lost, None)
    for stream, skips in lost.streams.items():
        _log.warning("%s cannot read any more, by partition: %s", stream, skips)
    for each in lost.ranges:
        _log.warning("in no archive: %s", each)
    if not lost:
        _log.info("topic %s: nothing is lost that is not accepted already: every stream can go on", topic)
    elif not confirm:
        _log.warning("topic %s: nothing was accepted: trigger again with `confirm` to give these offsets up", topic)
    else:
        told["accepted"] = accept_loss(environment, lost, who, reason).to_json()
        _log.warning("topic %s: accepted by %s; clear the tasks of the streams that stopped for it", topic, who)
    return told


def who_triggered(context: Context) -> str:
    """The Airflow user who triggered the run; where Airflow does not tell, the run."""
    run = context["dag_run"]
    return str(getattr(run, "triggering_user_name", None) or f"run {run.run_id}")
