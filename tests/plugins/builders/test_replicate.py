"""The DAGs of replication."""

from __future__ import annotations

from datetime import timedelta

from millrace.builders import check_replica


def test_a_comparison_that_does_not_end_is_ended() -> None:
    assert check_replica().get_task("compare").execution_timeout == timedelta(hours=6)
    assert check_replica(timeout=timedelta(hours=1)).get_task("compare").execution_timeout == timedelta(hours=1)
