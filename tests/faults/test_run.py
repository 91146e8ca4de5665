"""What a run does, and in which order: without its stack."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.faults.run import FAULTS, SHORT, Run

CLEAN_UP = "killed between publish and clean-up"
LAST = "topic deleted and made anew"


def test_every_fault_is_done_once_and_what_nothing_can_follow_is_last() -> None:
    wanted = Run(seed=7)
    names = [fault.name for fault in wanted.faults(random.Random(7))]
    assert sorted([*names, CLEAN_UP, LAST]) == sorted(FAULTS)
    assert [fault.name for fault in wanted.last] == [CLEAN_UP, LAST]


def test_a_run_of_some_minutes_is_a_sample_that_the_seed_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here each fault takes a minute."""

    def names(minutes: float, only: tuple[str, ...] = tuple(FAULTS)) -> list[str]:
        clock = itertools.count(0, 60)
        monkeypatch.setattr("tests.faults.run.time.monotonic", lambda: next(clock))
        return [fault.name for fault in Run(seed=7, minutes=minutes, names=only).faults(random.Random(7))]

    every = [fault.name for fault in Run(seed=7).faults(random.Random(7))]
    assert names(11) == every[:10]
    more = names(11, only=SHORT)
    assert (len(more), set(more[: len(SHORT)]), set(more)) == (10, set(SHORT), set(SHORT))


def test_a_fault_can_be_named_alone_though_it_is_last() -> None:
    wanted = Run(seed=7, names=(LAST,))
    assert list(wanted.faults(random.Random(7))) == []
    assert [fault.name for fault in wanted.last] == [LAST]


def test_the_short_form_names_its_faults_and_none_that_ends_the_streams() -> None:
    assert set(SHORT) <= set(FAULTS)
    assert Run(seed=7, names=SHORT).last == []
