"""The parity of a run, as a person reads it."""

from __future__ import annotations

from millrace.tasks.parity_table import parity_lines


def test_counts_and_differing_keys_are_listed() -> None:
    keys = [{"symbol": "AAPL", "window_start": "2026-11-20T00:00:00Z", "outcome": "only_batch"}]
    parity = {"equal": 12345, "different": 0, "only_batch": 1, "only_speed": 0, "differing_keys": keys}
    assert parity_lines("p", "20261120T000000Z", {"parity": parity}) == [
        "p 20261120T000000Z: batch against speed, by key",
        "  equal                12,345",
        "  different                 0",
        "  only in batch             1",
        "  only in speed             0",
        "first keys that differ:",
        "  only in batch: symbol=AAPL, window_start=2026-11-20T00:00:00Z",
    ]


def test_a_run_without_a_speed_layer_says_so() -> None:
    (line,) = parity_lines("p", "20261120T000000Z", {"parity": None})
    assert "nothing to compare" in line or "no rows to compare" in line
