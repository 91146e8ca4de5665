from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from millrace.producers import Settings, Source, generate, replay
from millrace.producers.table import UnreadableFileError

SAMPLES = Path(__file__).parents[3] / "infra" / "local" / "sample_data"
SAMPLE = SAMPLES / "artificial_ticks.csv"


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "ticks.csv"
        path.write_text(text)
        return path

    return write


def test_rows_come_in_event_time_order_and_ties_in_file_order(file):
    path = file(
        "symbol,event_time,price,volume\n"
        "B,2026-11-20T14:30:01Z,2.5,20\n"
        "A,2026-11-20T15:30:00.123456+01:00,189.34,100\n"
        "C,2026-11-20T14:30:01Z,3,30\n"
    )
    first, *rest = replay(Source(path))
    assert first.value == (
        b'{"symbol": "A", "event_time": "2026-11-20T14:30:00.123456Z", "price": 189.3400, "volume": 100}'
    )
    assert (first.key, first.timestamp, first.kind) == (b"A", 1795185000123, "replayed")
    assert [record.key for record in rest] == [b"B", b"C"]


def test_other_columns_zones_and_constants_are_mapped(file):
    path = file('ts,"Close",Vol\n2026-07-01 09:30,10.5,7\n2026-12-01 09:30,11.5,8.0\n')
    source = Source(
        path, {"event_time": "ts", "price": "Close", "volume": "Vol"}, {"symbol": "SPY"}, "America/New_York"
    )
    times = [json.loads(record.value)["event_time"] for record in replay(source)]
    assert times == ["2026-07-01T13:30:00.000000Z", "2026-12-01T14:30:00.000000Z"]


def test_times_may_be_numbers_or_of_another_form(file):
    columns = {"constants": {"symbol": "A", "price": "1", "volume": "0"}}
    (number,) = replay(Source(file("event_time\n1795185000.5\n"), **columns, time_unit="s"))
    form = {"time_format": "%m/%d/%Y %H:%M", "time_zone": "UTC"}
    (text,) = replay(Source(file("event_time\n11/20/2026 14:30\n"), **columns, **form))
    assert (number.timestamp, text.timestamp) == (1795185000500, 1795185000000)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([datetime(2026, 11, 20, 14, 30, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        pa.array([datetime(2026, 11, 20, 14, 30)], pa.timestamp("ns")),
        pa.array([datetime(2026, 11, 20, 14, 30)], pa.timestamp("s")),
        pa.array(["2026-11-20 14:30"]),
    ],
)
def test_parquet_columns_keep_their_types(tmp_path, times):
    path = tmp_path / "ticks.parquet"
    prices = pa.array([Decimal("189.3400")], pa.decimal128(18, 4))
    pa.parquet.write_table(pa.table({"symbol": ["A"], "event_time": times, "price": prices, "volume": [100]}), path)
    (record,) = replay(Source(path, time_zone="UTC"))
    assert record.timestamp == 1795185000000
    assert record.value.endswith(b'"price": 189.3400, "volume": 100}')


def test_a_date_is_its_midnight_and_a_float_price_is_what_it_prints(tmp_path):
    path = tmp_path / "ticks.parquet"
    pa.parquet.write_table(pa.table({"event_time": [date(2026, 11, 20)], "price": [0.1 + 0.2]}), path)
    source = Source(path, {}, {"symbol": "A", "volume": "0"}, "UTC", round_prices=True)
    (record,) = replay(source)
    assert json.loads(record.value, parse_float=Decimal)["price"] == Decimal("0.3000")
    assert record.timestamp == 1795132800000


GOOD = "A,2026-11-20T14:30:00Z,1,1\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (GOOD + "A,yesterday,1,1\n", r"line 3, column 'event_time': found 'yesterday'; a time is ISO 8601"),
        (GOOD + "A,2026-11-20T14:30:00,1,1\n", r"line 3.*needs a zone.*--time-zone"),
        (GOOD + "A,1969-11-20T14:30:00Z,1,1\n", r"line 3.*between 1970 and 9999"),
        (GOOD + "\nA,2026-11-20T14:30:00Z,cheap,1\n", r"line 4, column 'price': found 'cheap'; a number is needed"),
        (GOOD + "A,2026-11-20T14:30:00Z,nan,1\n", r"found 'nan'; a number is needed"),
        (GOOD + "A,2026-11-20T14:30:00Z,1.00001,1\n", r"at most 4 decimals; .*--round-prices"),
        (GOOD + "A,2026-11-20T14:30:00Z,1,1.5\n", r"column 'volume': found '1.5'; a volume is a whole number"),
        (GOOD + ",2026-11-20T14:30:00Z,1,1\n", r"column 'symbol': found ''; a symbol is not empty"),
        (GOOD + "A,2026-11-20T14:30:00Z,1\n", r"line 3: 3 cells; the header has 4"),
    ],
)
def test_a_wrong_line_is_named_with_its_value_rule_and_remedy(file, lines, told):
    with pytest.raises(UnreadableFileError, match=told):
        replay(Source(file("symbol,event_time,price,volume\n" + lines)))


@pytest.mark.parametrize("local", ["2026-03-08 02:30", "2026-11-01 01:30"])
def test_a_local_time_that_the_clocks_skip_or_repeat_is_refused(file, local):
    source = Source(file(f"symbol,event_time,price,volume\nA,{local},1,1\n"), time_zone="America/New_York")
    with pytest.raises(UnreadableFileError, match="skip or repeat this time"):
        replay(source)


def test_a_missing_column_is_named_with_those_that_are_there(file):
    with pytest.raises(
        UnreadableFileError, match=r"no column 'price'.*has symbol, event_time, close, volume; .*--map price="
    ):
        replay(Source(file("symbol,event_time,close,volume\n" + GOOD)))


@pytest.mark.parametrize(
    ("name", "told"),
    [("none.csv", "no such file"), ("ticks.xlsx", ".csv and .parquet are read"), ("bad.parquet", "read")],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, told):
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(UnreadableFileError, match=told):
        replay(Source(tmp_path / name))


def test_the_shipped_artificial_file_is_what_its_note_says():
    settings = Settings(datetime(2026, 11, 16, tzinfo=UTC), rate=0.005, seed=7, duration=timedelta(days=5))
    assert [record.value for record in replay(Source(SAMPLE))] == [record.value for record in generate(settings)]


def test_the_real_prices_are_the_banks_rates_of_five_days() -> None:
    records = [json.loads(record.value) for record in replay(Source(SAMPLES / "ecb_reference_rates.csv"))]
    assert len(records) == 5 * 28
    assert {record["event_time"][:10] for record in records} == {f"2026-10-{day}" for day in range(26, 31)}
    assert records[-1] == {
        "symbol": "EURZAR",
        "event_time": "2026-10-30T13:10:00.000000Z",
        "price": 18.6455,
        "volume": 0,
    }
