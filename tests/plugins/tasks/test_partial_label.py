"""In Airflow's lists, the tasks of a partial interval are called so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.builders import batch_layer
from millrace.tasks.partial_label import label_partial

DAY = "20261120T000000Z"


@pytest.mark.parametrize("task_id", ["interval_run.certify", "interval_run.publish"])
def test_the_label_says_partial_once_the_task_has_found_that(task_id: str) -> None:
    dag = batch_layer(stock_high_low)
    template = cast(Any, dag.get_task(task_id)).map_index_template
    task = SimpleNamespace(interval=DAY, op_kwargs={"interval": DAY})
    context: Any = {"task": task}

    def label() -> str:
        return dag.get_template_env().from_string(template).render(context)

    assert label() == DAY, "before the task has run"
    label_partial(context, [])
    assert label() == DAY
    label_partial(context, ["the archive is behind"])
    assert label() == f"{DAY} (partial)"
