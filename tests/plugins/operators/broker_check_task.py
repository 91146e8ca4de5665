"""Running the task that proves Spark's way to Kafka on a platform at hand, without Airflow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from millrace.operators.check_brokers import CheckBrokersOperator
from millrace.platforms.protocol import JobState
from millrace.supervision.connection import Connection
from millrace.triggers.events import status_to_json
from millrace.waiting import until

__all__ = ["run_check"]


@dataclass(frozen=True)
class Try:
    run_id: str
    try_number: int = 1
    max_tries: int = 1
    map_index: int = -1


class Check(CheckBrokersOperator):
    """On a platform of the test's own."""

    connection: Connection

    def connect(self) -> Connection:
        return self.connection


def run_check(connection: Connection) -> Any:
    """What the task returns, having run its job; raises what the task raises."""
    task, platform = Check(task_id="reached", environment=connection.environment.name), connection.platform
    task.connection = connection
    context: Any = {"ti": Try(uuid.uuid4().hex)}
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    job_id, owner = deferred.value.trigger.job_id, deferred.value.trigger.owner
    assert until(lambda: platform.state(job_id).state is not JobState.RUNNING, timedelta(minutes=4))
    status = platform.state(job_id)
    assert status.state is JobState.SUCCEEDED, platform.logs(job_id, 40)
    return task.resume(context, {"job_id": job_id, "owner": owner, **status_to_json(status)})
