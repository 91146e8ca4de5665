"""How often a stream makes a micro-batch unless somebody says otherwise: 10 s for the archive, 1 s for speed."""

from __future__ import annotations

import dataclasses
import inspect
import uuid
from datetime import timedelta
from typing import Any

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.builders import archive_layer, speed_layer
from millrace.cli.streams import archive, speed
from millrace.environment import Environment


@pytest.mark.stack
@pytest.mark.parametrize(
    ("told", "archived_s", "sped_s"), [({}, "10", "1"), ({"trigger": timedelta(milliseconds=2500)}, "2.5", "2.5")]
)
def test_the_driver_that_a_dag_starts_is_told_it(
    environment: Environment, told: dict[str, Any], archived_s: str, sped_s: str
) -> None:
    lake = dataclasses.replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
    dags = (archive_layer(stock_ticks, **told), speed_layer(stock_high_low, **told))
    arguments = [dag.get_task("stream").declare(lake, "me.1").arguments for dag in dags]
    assert [each[each.index("--trigger-s") + 1] for each in arguments] == [archived_s, sped_s]


@pytest.mark.parametrize(("command", "seconds"), [(archive, 10.0), (speed, 1.0)])
def test_the_command_line_has_the_same(command: Any, seconds: float) -> None:
    assert inspect.signature(command).parameters["trigger"].default == seconds
