"""What the task of the DAG `produce_stock_ticks` prints of its deliveries."""

from __future__ import annotations

import pytest

from millrace.home import Home
from millrace.tasks.produce import produce_ticks

FORM = {"start": None, "rate": 100, "seed": 0, "duration_s": 0.03, "max_delay_s": 300}
FORM |= dict.fromkeys(("late", "disorder", "duplicates", "garbage"), 0.0)


@pytest.mark.parametrize(
    ("changed", "is_each_printed"),
    [
        ({"print_each": "when slow"}, False),
        ({"print_each": "when slow", "rate": 10, "duration_s": 0.3}, True),
        ({"print_each": "always"}, True),
        ({"print_each": "always", "start": "2026-11-20T00:00:00+00:00"}, True),
        ({"print_each": "never", "rate": 10, "duration_s": 0.3}, False),
    ],
)
def test_each_delivery_has_a_line_with_partition_and_offset_where_it_is_wished(
    stack: Home,
    topic: str,
    changed: dict[str, object],
    is_each_printed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(stack.root))
    summary = produce_ticks(topic, {**FORM, **changed})
    lines = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("delivered ")]
    places = {
        f"{topic} partition {partition} offset {offset}"
        for partition, written in summary["partitions"].items()
        for offset in range(written["first"], written["last"] + 1)
    }
    assert len(places) == summary["acknowledged"] == 3
    assert {line.partition(" to ")[2] for line in lines} == (places if is_each_printed else set())
