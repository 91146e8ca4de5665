"""Runs of both layers, each on a topic and a lake of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake
from millrace.environment import Environment
from tests.parity.layer_runs import LayerRuns


@pytest.fixture
def new_run(spark: SparkSession, environment: Environment, tmp_path: Path) -> Callable[[], LayerRuns]:
    numbers = itertools.count()
    return lambda: LayerRuns(spark, environment, Lake((tmp_path / str(next(numbers))).as_uri()))
