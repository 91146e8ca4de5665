from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millrace.producers import Record, Settings, generate
from millrace.producers.garbage import HUGE_BYTES, MAKERS
from millrace.producers.settings import InvalidSettingsError

START = datetime(2026, 11, 20, 23, 59, 50, tzinfo=UTC)
SMALL_KINDS = tuple(kind for kind in MAKERS if kind != "huge_value")
BAD_DAY = {"late": 0.1, "disorder": 0.1, "duplicates": 0.05, "garbage": 0.1, "garbage_kinds": SMALL_KINDS}


def decoded(record: Record) -> dict[str, object] | None:
    """The tick, or None: a strict reader written without the code under test."""
    try:
        tick = json.loads((record.value or b"").decode("utf-8", "strict"), parse_float=Decimal)
        time = datetime.fromisoformat(tick["event_time"])
    except (ValueError, KeyError):
        return None
    around = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    is_near = around - timedelta(days=400) <= time <= around + timedelta(days=1)
    is_typed = (type(tick["symbol"]), type(tick["price"]), type(tick["volume"])) == (str, Decimal, int)
    return {**tick, "event_time": time} if is_near and is_typed else None


def test_the_same_settings_give_the_same_bytes_and_another_seed_gives_others():
    first, again, other = (
        list(generate(Settings(START, seed=seed, count=2000, rate=1000, **BAD_DAY))) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_by_default_each_of_ten_symbols_has_a_price_every_ten_seconds():
    ticks = [decoded(record) for record in generate(Settings(START, duration=timedelta(minutes=1)))]
    assert len(ticks) == 60
    times = [tick["event_time"] for tick in ticks if tick["symbol"] == "AAPL"]
    assert times == [START + timedelta(seconds=10 * turn) for turn in range(6)]


def test_a_tick_is_keyed_by_its_symbol_stamped_with_its_time_and_exact_to_four_decimals():
    for record in generate(Settings(START, rate=7, count=500)):
        tick = decoded(record)
        assert record.key == tick["symbol"].encode()
        assert record.timestamp == int(tick["event_time"].timestamp() * 1000)
        assert tick["price"].as_tuple().exponent == -4
        assert 1 <= tick["price"] <= 100_000
        assert tick["volume"] >= 1
        assert list(tick) == ["symbol", "event_time", "price", "volume"]


def test_times_do_not_drift():
    last = list(generate(Settings(START, rate=7, count=7001)))[-1]
    assert decoded(last)["event_time"] == START + timedelta(seconds=1000)


def test_late_ticks_are_as_many_and_as_late_as_asked():
    delay = timedelta(seconds=30)
    records = list(generate(Settings(START, rate=1000, count=20_000, late=0.05, max_delay=delay)))
    late = [record for record in records if record.kind == "late"]
    assert 800 < len(late) < 1200
    for place, record in enumerate(records):
        slot = START + timedelta(milliseconds=place)
        delayed = slot - decoded(record)["event_time"]
        assert timedelta(0) < delayed <= delay if record.kind == "late" else not delayed


def test_disordered_ticks_come_after_their_turn_by_no_more_than_the_distance():
    records = list(generate(Settings(START, rate=1000, count=10_000, disorder=0.2, max_distance=50)))
    slots = [record.timestamp - records[0].timestamp for record in records]
    assert sorted(slots) == list(range(10_000))
    assert 1700 < sum(record.kind == "disordered" for record in records) < 2300
    newest = -1
    for slot, record in zip(slots, records, strict=True):
        assert slot > newest or record.kind == "disordered"
        assert newest - slot <= 50
        newest = max(newest, slot)


def test_an_endless_stream_of_which_all_is_disordered_still_flows():
    assert len(list(islice(generate(Settings(START, disorder=1.0)), 1000))) == 1000


def test_duplicates_are_exact_copies_and_as_many_as_asked():
    records = list(generate(Settings(START, rate=1000, count=20_000, duplicates=0.1)))
    copies = [record for record in records if record.kind == "duplicate"]
    originals = {record[:4] for record in records if record.kind == "tick"}
    assert 1600 < len(copies) < 2000
    assert {copy[:4] for copy in copies} <= originals
    assert len(originals) + len(copies) == 20_000


def test_each_kind_of_garbage_occurs_and_none_can_be_decoded():
    records = list(generate(Settings(START, rate=1000, count=400, garbage=0.5)))
    kinds = Counter(record.kind for record in records)
    assert 150 < sum(kinds[kind] for kind in MAKERS) < 250
    assert set(MAKERS) <= set(kinds)
    assert all((decoded(record) is None) == (record.kind in MAKERS) for record in records)
    assert {len(record.value) for record in records if record.kind == "huge_value"} == {HUGE_BYTES}


def test_invalid_utf8_is_the_only_thing_wrong_with_that_kind():
    settings = Settings(START, count=1, garbage=1.0, garbage_kinds=("invalid_utf8",))
    (record,) = generate(settings)
    with pytest.raises(UnicodeDecodeError):
        record.value.decode()
    assert json.loads(record.value.decode(errors="replace"))["volume"] == 1


@hypothesis_settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 300), seed=st.integers(0, 9), duplicates=st.sampled_from([0, 0.3, 1.0]))
def test_the_count_is_exact_whatever_is_held_back(count, seed, duplicates):
    settings = Settings(START, count=count, seed=seed, duplicates=duplicates, disorder=0.3, max_distance=1000)
    assert len(list(generate(settings))) == count


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"start": datetime(2026, 11, 20)}, "without a zone"),
        ({"start": datetime(1969, 12, 31, tzinfo=UTC)}, "begins in 1970"),
        ({"rate": 0}, "above 0"),
        ({"rate": 100_001}, "at most 100000"),
        ({"rate": float("nan")}, "above 0"),
        ({"symbols": ()}, "at least one"),
        ({"symbols": ("A", "A")}, "each may occur once"),
        ({"symbols": ('"',)}, "make a symbol"),
        ({"late": 1.5}, "fraction from 0 to 1"),
        ({"late": 0.6, "garbage": 0.6}, "lower one"),
        ({"late": 0.1, "max_delay": timedelta(0)}, "1 ms or more"),
        ({"count": -1}, "cannot be negative"),
        ({"max_distance": 0}, "1 or more"),
        ({"garbage_kinds": ("soap",)}, "soap"),
    ],
)
def test_wrong_settings_are_refused_with_the_rule(wrong, told):
    with pytest.raises(InvalidSettingsError, match=told):
        Settings(**{"start": START, **wrong})
