"""What Spark SQL answers is compared with the oracle, and with the view that is read without Spark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.faults.reader import Rows
from tests.faults.spark_sql import check_spark_view

DAY = datetime(2026, 11, 18, tzinfo=UTC)
VALUES = {"open": 1, "high": 3, "low": 1, "close": 2, "volume": 5, "count": 2}
ABOUT = {"_interval": "20261118T000000Z", "_layer": "batch", "_partial": False, "_version": "1"}
EXPECTED: Rows = {("A", DAY): VALUES, ("A", DAY + timedelta(minutes=1)): VALUES}


def view(**changed: Any) -> pa.Table:
    """Both rows, in any order; what is changed is so in the second one."""
    first, second = ({"symbol": symbol, "window_start": start, **VALUES, **ABOUT} for symbol, start in EXPECTED)
    return pa.Table.from_pylist([second | changed, first])


def test_the_same_answer_is_the_same_in_any_order() -> None:
    assert check_spark_view(view(), view().slice(1, 1), EXPECTED) == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"high": 4}, "1 of 2 rows differ"),
        ({"symbol": "B"}, "2 of 2 rows differ"),
        ({"window_start": DAY}, "a key is in the view twice"),
        ({"_layer": "speed"}, "answered otherwise in Spark SQL"),
        ({"_partial": True}, "answered otherwise in Spark SQL"),
        ({"_version": "2"}, "answered otherwise in Spark SQL"),
    ],
)
def test_another_answer_is_seen(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_spark_view(view(**changed), view(), EXPECTED)
