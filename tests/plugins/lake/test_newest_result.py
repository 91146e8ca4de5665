"""What the newest run of an interval found is told by version: one version's run never answers for another's."""

from __future__ import annotations

import pytest

from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.explain import newest_result
from millrace.lake.serving import begin_serving, rollback, switch
from millrace.lake.store import LakeStore
from tests.plugins.lake.lake_rows import interval

DAY = interval(0)


def ran(environment: Environment, version: str, run: str) -> None:
    """As the driver leaves it."""
    path = Lake("").newest_result(stock_high_low.name, version, DAY.id)
    LakeStore(environment).write_json(path, {"run": run, "version": version})


def test_a_backfill_under_a_new_version_says_nothing_of_the_served_ones_run(own_lake: Environment) -> None:
    begin_serving(own_lake, stock_high_low, "v1", "a test")
    ran(own_lake, "v1", "nightly")
    ran(own_lake, "v2", "backfill")
    assert newest_result(own_lake, stock_high_low, DAY)["run"] == "nightly"
    assert newest_result(own_lake, stock_high_low, DAY, "v2")["run"] == "backfill"
    switch(own_lake, stock_high_low, "v2", "a test", "")
    assert newest_result(own_lake, stock_high_low, DAY)["run"] == "backfill"
    rollback(own_lake, stock_high_low, "a test", "")
    assert newest_result(own_lake, stock_high_low, DAY)["run"] == "nightly"


def test_where_the_served_version_has_not_run_an_interval_the_one_before_it_tells(own_lake: Environment) -> None:
    begin_serving(own_lake, stock_high_low, "v1", "a test")
    ran(own_lake, "v1", "nightly")
    switch(own_lake, stock_high_low, "v2", "a test", "")
    assert newest_result(own_lake, stock_high_low, DAY)["run"] == "nightly"
    with pytest.raises(MillraceError, match=rf"under version v2, .* --version v2 {DAY.id}` first"):
        newest_result(own_lake, stock_high_low, DAY, "v2")
    ran(own_lake, "v9", "nobody's")
    assert newest_result(own_lake, stock_high_low, DAY)["run"] == "nightly"
