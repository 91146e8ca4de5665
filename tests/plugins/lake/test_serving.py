"""Which version is served: one at a time, switched and rolled back in one commit each, whoever does it at once."""

from __future__ import annotations

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.serving import (
    begin_serving,
    current_serving,
    preferred_versions,
    rollback,
    served_version,
    serving_history,
    switch,
)
from tests.plugins.lake.raw_rows import local_environment

ANOTHER = replace(stock_high_low, name="another")


@pytest.fixture
def lake_here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def begin(environment: Environment, version: str) -> tuple[str, ...]:
    return begin_serving(environment, stock_high_low, version, "test").versions


def to(environment: Environment, version: str) -> tuple[str, ...]:
    return switch(environment, stock_high_low, version, "test", f"{version} is better").versions


def back(environment: Environment) -> tuple[str, ...]:
    return rollback(environment, stock_high_low, "test", "it was not").versions


def test_before_the_first_version_is_served_it_is_that_of_the_code(lake_here: Environment) -> None:
    assert current_serving(lake_here, stock_high_low) is None
    assert served_version(lake_here, stock_high_low) == fingerprint(stock_high_low)


def test_the_first_version_ever_is_served_and_later_ones_do_not_take_its_place(lake_here: Environment) -> None:
    assert begin(lake_here, "v1") == ("v1",)
    assert begin(lake_here, "v2") == ("v1",)
    assert len(serving_history(lake_here, stock_high_low)) == 1


def test_a_switch_puts_the_new_version_in_front_and_says_who_and_why(lake_here: Environment) -> None:
    begin(lake_here, "v1")
    assert to(lake_here, "v2") == ("v2", "v1")
    found = current_serving(lake_here, stock_high_low)
    assert found is not None
    assert (found.version, found.by, found.reason, found.number) == ("v2", "test", "v2 is better", 2)
    assert to(lake_here, "v3") == preferred_versions(lake_here, stock_high_low) == ("v3", "v2", "v1")


def test_a_switch_to_what_is_served_changes_nothing(lake_here: Environment) -> None:
    begin(lake_here, "v1")
    to(lake_here, "v2")
    assert to(lake_here, "v2") == ("v2", "v1")
    assert len(serving_history(lake_here, stock_high_low)) == 2


def test_a_switch_to_an_older_version_keeps_the_others_in_order(lake_here: Environment) -> None:
    for version in ("v1", "v2", "v3"):
        to(lake_here, version)
    assert to(lake_here, "v1") == ("v1", "v3", "v2")


def test_a_rollback_restores_the_order_before_and_what_was_rolled_back_comes_last(lake_here: Environment) -> None:
    for version in ("v1", "v2", "v3"):
        to(lake_here, version)
    assert back(lake_here) == ("v2", "v1", "v3")


def test_rollbacks_go_back_step_by_step_to_the_first_version_and_no_further(lake_here: Environment) -> None:
    for version in ("v1", "v2", "v3"):
        to(lake_here, version)
    assert [back(lake_here)[0], back(lake_here)[0]] == ["v2", "v1"]
    with pytest.raises(MillraceError, match="version v1 is served and none was before it, so there is nothing to roll"):
        back(lake_here)
    assert served_version(lake_here, stock_high_low) == "v1"
    assert len(serving_history(lake_here, stock_high_low)) == 5, "history is never rewritten"


def test_a_rollback_of_a_switch_that_followed_a_rollback_goes_to_what_that_had_restored(lake_here: Environment) -> None:
    for version in ("v1", "v2"):
        to(lake_here, version)
    back(lake_here)
    to(lake_here, "v3")
    assert back(lake_here) == ("v1", "v2", "v3")


def test_nothing_can_be_rolled_back_before_a_version_is_served(lake_here: Environment) -> None:
    with pytest.raises(MillraceError, match="no version is served yet"):
        back(lake_here)


def test_what_was_decided_about_another_version_is_refused(lake_here: Environment) -> None:
    begin(lake_here, "v1")
    to(lake_here, "v2")
    with pytest.raises(MillraceError, match=r"version v2 is served since .* not v1 any more"):
        switch(lake_here, stock_high_low, "v3", "test", "", expected="v1")
    with pytest.raises(MillraceError, match="not v1 any more"):
        rollback(lake_here, stock_high_low, "test", "", expected="v1")
    assert rollback(lake_here, stock_high_low, "test", "", expected="v2").version == "v1"


def test_pipelines_do_not_disturb_each_other(lake_here: Environment) -> None:
    begin(lake_here, "v1")
    switch(lake_here, ANOTHER, "other", "test", "")
    to(lake_here, "v2")
    assert preferred_versions(lake_here, ANOTHER) == ("other",)
    assert preferred_versions(lake_here, stock_high_low) == ("v2", "v1")


def test_of_many_first_versions_at_once_one_is_served(own_lake: Environment) -> None:
    with ThreadPoolExecutor(6) as pool:
        told = set(pool.map(lambda n: begin(own_lake, f"v{n}"), range(6)))
    assert told == {preferred_versions(own_lake, stock_high_low)}
    assert len(serving_history(own_lake, stock_high_low)) == 1


def test_switches_of_several_processes_at_once_all_happen_one_after_the_other(own_lake: Environment) -> None:
    begin(own_lake, "v0")
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(to, [own_lake] * 6, [f"v{n}" for n in range(1, 7)]))
    history = serving_history(own_lake, stock_high_low)
    assert [row.number for row in history] == list(range(1, 8))
    assert [row.previous for row in history] == [None, *range(1, 7)]
    for before, after in itertools.pairwise(history):
        assert after.versions == (after.version, *before.versions)
    for _ in range(6):
        back(own_lake)
    assert served_version(own_lake, stock_high_low) == "v0"
