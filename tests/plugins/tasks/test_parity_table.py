"""The parity of a run, as a person reads it."""

from __future__ import annotations

from millrace.tasks.parity_table import parity_lines


def test_counts_causes_and_the_first_differences_are_listed() -> None:
    differences = [
        {
            "key": {"symbol": "AAPL", "window_start": "2026-11-20T00:00:00.000Z"},
            "outcome": "different",
            "cause": "unexplained",
            "batch": {"high": 9.5, "low": 1, "count": 3},
            "speed": {"high": 9, "low": 1, "count": 2},
        },
        {
            "key": {"symbol": "MSFT", "window_start": "2026-11-20T00:01:00.000Z"},
            "outcome": "only_batch",
            "cause": "late",
            "batch": {"high": 1, "low": 1, "count": 1},
            "speed": None,
        },
    ]
    parity = {"equal": 12345, "different": 1, "only_batch": 1, "only_speed": 0, "differences": differences}
    parity["causes"] = {"unexplained": 1, "late": 1}
    late = {"events": 1, "windows": [["2026-11-20T00:01:00+00:00", 1]]}
    assert parity_lines("p", "20261120T000000Z", {"parity": parity, "late": late}) == [
        "p 20261120T000000Z: batch against speed, by key",
        "  equal                12,345",
        "  different                 1",
        "  only in batch             1",
        "  only in speed             0",
        "differences by cause:",
        "  late                    1",
        "  unexplained             1",
        "late for the speed layer: 1 events of 1 windows",
        "first keys that differ:",
        "  different, unexplained: symbol=AAPL, window_start=2026-11-20T00:00:00.000Z"
        " (high 9.5 in batch, 9 in speed; count 3 in batch, 2 in speed)",
        "  only in batch, late: symbol=MSFT, window_start=2026-11-20T00:01:00.000Z",
    ]


def test_a_run_without_a_speed_layer_says_so() -> None:
    (line,) = parity_lines("p", "20261120T000000Z", {"parity": None, "late": None})
    assert "nothing to compare" in line or "no rows to compare" in line


def test_a_partial_interval_is_called_so_before_anything_else() -> None:
    found = {"equal": 1, "different": 0, "only_batch": 0, "only_speed": 0}
    first, second, *_ = parity_lines("p", "20261120T000000Z", {"parity": found}, ["the archive was behind", "a loss"])
    assert first == "p 20261120T000000Z is partial: the archive was behind; a loss"
    assert second == "p 20261120T000000Z: partial batch against speed, by key"
    assert parity_lines("p", "20261120T000000Z", {"parity": None}, ["a loss"])[0].endswith("is partial: a loss")
