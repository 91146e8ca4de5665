"""The totals of a fault run: what was not done is not passed over."""

from __future__ import annotations

import pytest

from tests.faults.nemesis.fault import Struck
from tests.faults.report import Report

FULL = "disk full: no small disk"


def report(*, failed: bool = False, left_out: bool = False) -> tuple[Report, list[str]]:
    said: list[str] = []
    made = Report(said.append)
    made.fault(Struck("Kafka killed", "proof", "after", 1.0))
    if failed:
        made.failed("Azurite killed", AssertionError("why"), [])
    if left_out:
        for _ in range(2):  # chance may choose it again
            made.leave_out("disk full", "no small disk")
    return made, said


@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_run_that_did_all_its_faults_is_well(allow_missing: bool) -> None:
    made, said = report()
    assert made.totals(7, allow_missing=allow_missing)
    assert "ok: seed 7, 1 faults done, 0 failed, 0 not done" in said[-1]


def test_a_fault_that_was_left_out_is_in_the_totals_and_not_well_unless_that_is_allowed() -> None:
    made, said = report(left_out=True)
    assert not made.totals(7, allow_missing=False)
    assert f"INCOMPLETE: seed 7, 1 faults done, 0 failed, 1 not done ({FULL}); " in said[-1]
    assert made.totals(7, allow_missing=True)
    assert f"ok: seed 7, 1 faults done, 0 failed, 1 not done ({FULL})" in said[-1]


def test_a_fault_that_failed_is_never_well() -> None:
    made, said = report(failed=True, left_out=True)
    assert not made.totals(7, allow_missing=True)
    assert f"FAILED: seed 7, 1 faults done, 1 failed, 1 not done ({FULL}): ['Azurite killed']" in said[-1]
