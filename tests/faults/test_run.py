"""What a run does, and in which order: without its stack."""

from __future__ import annotations

import random

from tests.faults.run import FAULTS, SHORT, Run

CLEAN_UP = "killed between publish and clean-up"
LAST = "topic deleted and made anew"


def test_every_fault_is_done_once_and_what_nothing_can_follow_is_last() -> None:
    wanted = Run(seed=7)
    names = [fault.name for fault in wanted.faults(random.Random(7))]
    assert sorted([*names, CLEAN_UP, LAST]) == sorted(FAULTS)
    assert [fault.name for fault in wanted.last] == [CLEAN_UP, LAST]


def test_a_fault_can_be_named_alone_though_it_is_last() -> None:
    wanted = Run(seed=7, minutes=1, names=(LAST,))
    assert list(wanted.faults(random.Random(7))) == []
    assert [fault.name for fault in wanted.last] == [LAST]


def test_the_short_form_names_its_faults_and_none_that_ends_the_streams() -> None:
    assert set(SHORT) <= set(FAULTS)
    assert Run(seed=7, names=SHORT).last == []
