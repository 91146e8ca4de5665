"""A pipeline's batch DAG as a file of Airflow's folder of DAGs, whose interval's steps are stand-ins.

What makes and deletes the cluster is real. From the environment: NIGHT_ENVIRONMENT, NIGHT_JOB (`fails`, `succeeds`),
NIGHT_INTERVALS.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.builders import batch


class Step(BaseOperator):
    """Succeeds, whatever it is told, with a certificate that lacks nothing."""

    def __init__(self, *, interval: Any, environment: str | None = None, **kwargs: Any) -> None:
        own = {"task_id", "map_index_template", "task_group", "dag", "max_active_tis_per_dag"}
        super().__init__(**{name: value for name, value in kwargs.items() if name in own}, retries=0)
        self.interval = interval
        self.environment = environment

    def execute(self, context: Any) -> Any:
        return {"partial": []}


class Job(Step):
    """The job on the cluster that was made for it."""

    def execute(self, context: Any) -> Any:
        if self.environment != f"{os.environ['NIGHT_ENVIRONMENT']}.batch":
            raise AirflowFailException(f"the job was to run on {self.environment}")
        if os.environ["NIGHT_JOB"] == "fails":
            raise ValueError("the job failed")
        return "a run"


batch.CertifyOperator = Step  # type: ignore[misc,assignment]
batch.ReprocessOperator = Job  # type: ignore[misc,assignment]
batch.choose_intervals = lambda *_: [each for each in os.environ["NIGHT_INTERVALS"].split(",") if each]
batch.environment_for_task = lambda *_: None  # type: ignore[assignment,return-value]
batch.log_parity = lambda *_: {}
batch.publish_run = lambda *_: True

dag = batch.batch_layer(stock_high_low, environment=os.environ["NIGHT_ENVIRONMENT"])
