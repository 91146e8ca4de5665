"""Unexplained differences keep the last good run served; explained ones do not hold anything up."""

from __future__ import annotations

import dataclasses

import pytest

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.lake.gate import ParityError, check_parity

FRIDAY = Interval.parse("2026-11-20", stock_high_low.interval)


def result(**causes: int) -> dict[str, object]:
    counts = {name.replace("_", " "): count for name, count in causes.items()}
    return {"version": "v1", "parity": {"equal": 5, "causes": counts}}


def test_an_unexplained_difference_is_refused_with_what_to_do() -> None:
    with pytest.raises(ParityError) as refused:
        check_parity(stock_high_low, FRIDAY, "r7", result(unexplained=1, late=1200))
    message = str(refused.value)
    assert "interval 20261120T000000Z, run r7: 1 of 1,201 differences" in message
    assert "are unexplained" in message
    assert "millrace explain stock_high_low 20261120T000000Z --version v1" in message


@pytest.mark.parametrize("passing", [result(late=1200, redecoded=1), result(), {"parity": None}, {}])
def test_explained_differences_pass_however_many(passing: dict[str, object]) -> None:
    check_parity(stock_high_low, FRIDAY, "r7", passing)


def test_a_pipeline_may_accept_some() -> None:
    tolerant = dataclasses.replace(stock_high_low, max_unexplained=2)
    check_parity(tolerant, FRIDAY, "r7", result(unexplained=2))
    with pytest.raises(ParityError):
        check_parity(tolerant, FRIDAY, "r7", result(unexplained=3))
