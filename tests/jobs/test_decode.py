"""Records become events or dead letters with a reason; what each becomes was worked out by hand."""

from __future__ import annotations

import struct
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from jobs.decode import decode
from jobs.decode.records import DECODERS
from jobs.topic import Field, Topic
from jobs.topics import stock_ticks
from tests.oracle.arrivals import batches
from tests.oracle.ticks import Sent, read_tick

pytestmark = pytest.mark.both_engines

RECEIVED = datetime(2026, 11, 20, 15, tzinfo=timezone.utc)
GOOD = b'{"symbol":"A","event_time":"2026-11-20T14:30:00.123456Z","price":189.34,"volume":100}'
EVENT = ("A", datetime(2026, 11, 20, 14, 30, 0, 123456), Decimal("189.3400"), 100)
MIB = 1024 * 1024


def tick(**changed):
    """GOOD with JSON texts in place of fields: tick(price='1')."""
    fields = {"symbol": '"A"', "event_time": '"2026-11-20T14:30:00.123456Z"', "price": "189.34", "volume": "100"}
    fields.update(changed)
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def at(text):
    return tick(event_time=f'"{text}"')


def event(symbol="A", event_time=EVENT[1], price=EVENT[2], volume=100):
    return (symbol, event_time, Decimal(price), volume)


EVENTS = {
    "a plain tick": (GOOD, EVENT),
    "a price in quotes": (tick(price='"189.34"'), EVENT),
    "a price with an exponent": (tick(price="1.5e2"), event(price="150.0000")),
    "a price is rounded half up": (tick(price="1.00005"), event(price="1.0001")),
    "a negative price is rounded away from zero": (tick(price="-0.00005"), event(price="-0.0001")),
    "18 digits": (tick(price="99999999999999.9999"), event(price="99999999999999.9999")),
    "the greatest volume": (tick(volume="9223372036854775807"), event(volume=2**63 - 1)),
    "a number as a symbol": (tick(symbol="5"), event(symbol="5")),
    "a symbol beyond the basic plane": (tick(symbol='"\U0001f4a9"'), event(symbol="\U0001f4a9")),
    "the replacement character itself": (tick(symbol='"\ufffd"'), event(symbol="\ufffd")),
    "an offset": (at("2026-11-20T14:30:00+05:30"), event(event_time=datetime(2026, 11, 20, 9))),
    "no seconds": (at("2026-11-20T14:30Z").replace(b"Z", b":00Z"), event(event_time=datetime(2026, 11, 20, 14, 30))),
    "nanoseconds are cut": (
        at("2026-11-20T14:30:00.999999999Z"),
        event(event_time=EVENT[1].replace(microsecond=999999)),
    ),
    "a day ahead, to the microsecond": (at("2026-11-21T15:00:00Z"), event(event_time=datetime(2026, 11, 21, 15))),
    "400 days old": (at("2025-10-16T15:00:00Z"), event(event_time=datetime(2025, 10, 16, 15))),
    "an undeclared field": (GOOD[:-1] + b',"more":{"deep":[1,{"x":null}]}}', EVENT),
    "white space around": (b" \r\n" + GOOD + b"\n", EVENT),
    "text after the object": (GOOD + b" trailing", EVENT),
    "the last of a repeated field": (GOOD[:-1] + b',"price":2}', event(price="2.0000")),
}

DEAD_LETTERS = {
    "no value": (None, "null value"),
    "an empty value": (b"", "not a JSON object"),
    "white space": (b"  ", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "a number": (b"5", "not a JSON object"),
    "an array of ticks": (b"[" + GOOD + b"]", "not a JSON object"),
    "cut off": (GOOD[:-1], "not a JSON object"),
    "single quotes": (GOOD.replace(b'"', b"'"), "not a JSON object"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "not a JSON object"),
    "not a number": (tick(price="NaN"), "not a JSON object"),
    "a raw line feed in a string": (tick(symbol='"a\nb"'), "not a JSON object"),
    "bytes that are no text": (b"\xff\xfe", "invalid UTF-8"),
    "a bad byte in a string": (GOOD.replace(b'"A"', b'"A\xff"'), "invalid UTF-8"),
    "a surrogate in UTF-8": (GOOD.replace(b'"A"', b'"\xed\xa0\x80"'), "invalid UTF-8"),
    "an overlong zero": (GOOD.replace(b'"A"', b'"\xc0\x80"'), "invalid UTF-8"),
    "1 MiB": (b"x" * MIB, "value too long: 1048576 bytes, the topic allows 524288"),
    "no fields": (b"{}", "missing: symbol, event_time, price, volume"),
    "no symbol": (GOOD.replace(b'"symbol":"A",', b""), "missing: symbol"),
    "a null symbol": (tick(symbol="null"), "missing: symbol"),
    "no event time": (GOOD.replace(b"event_time", b"time"), "missing: event_time"),
    "a name in other case": (GOOD.replace(b"symbol", b"Symbol"), "missing: symbol"),
    "words for a price": (tick(price='"cheap"'), "wrong type: price"),
    "19 digits": (tick(price="123456789012345.1234"), "wrong type: price"),
    "rounded up to 19 digits": (tick(price="99999999999999.99995"), "wrong type: price"),
    "a fraction of a share": (tick(volume="1.5"), "wrong type: volume"),
    "a volume in quotes": (tick(volume='"7"'), "wrong type: volume"),
    "a volume above 64 bits": (tick(volume="9223372036854775808"), "wrong type: volume"),
    "a truth for a volume": (tick(volume="true"), "wrong type: volume"),
    "two wrong types": (tick(price="[]", volume="{}"), "wrong type: price, volume"),
    "a wrong type and a missing field": (b'{"price":"x"}', "wrong type: price"),
    "a wrong type, then the right one": (GOOD[:-1] + b',"volume":"x"}', "wrong type: a repeated field"),
    "a time without a zone": (at("2026-11-20T14:30:00"), "wrong type: event_time"),
    "a time as a number": (tick(event_time="1700000000"), "wrong type: event_time"),
    "a thirteenth month": (at("2026-13-20T14:30:00Z"), "wrong type: event_time"),
    "a 30th of February": (at("2026-02-30T14:30:00Z"), "wrong type: event_time"),
    "a leap second": (at("2016-12-31T23:59:60Z"), "wrong type: event_time"),
    "an offset of 19 hours": (at("2026-11-20T14:30:00+19:00"), "wrong type: event_time"),
    "a line feed after the time": (at("2026-11-20T14:30:00Z\\n"), "wrong type: event_time"),
    "more than a day ahead": (
        at("2026-11-21T15:00:00.000001Z"),
        "event time out of bounds: event_time 2026-11-21 15:00:00.000001",
    ),
    "more than 400 days old": (
        at("2025-10-16T14:59:59.999999Z"),
        "event time out of bounds: event_time 2025-10-16 14:59:59.999999",
    ),
    "the year 9999": (at("9999-12-31T23:59:59Z"), "event time out of bounds: event_time 9999-12-31 23:59:59"),
    "the year 1": (at("0001-01-01T00:00:00Z"), "event time out of bounds: event_time 0001-01-01 00:00:00"),
    "a billion digits": (tick(price="1e999999999"), "number out of bounds: price"),
    "a billion digits behind the point": (tick(price="-1E-999999999"), "number out of bounds: price"),
    "a billion digits in quotes": (tick(price='"1,0e+999999999"'), "number out of bounds: price"),
    "digits of another script": (
        tick(price='"\u0661e\u0669\u0669\u0669\u0669\u0669\u0669"'),
        "number out of bounds: price",
    ),
    "100,000 digits": (tick(price="1" * 100_000), "number out of bounds: price"),
    "digits that hide": (tick(price='"\\u0031e999999999"'), "escaped letters or digits"),
    "a name that hides": (tick(symbol='"","p\\u0072ice":1e999999999'), "escaped letters or digits"),
}


@pytest.fixture(scope="module")
def decoded(spark):
    """What each value becomes, all in one Spark job."""
    cases = {**EVENTS, **DEAD_LETTERS}
    rows = decode(records(spark, [(name, value) for name, (value, _) in cases.items()]), stock_ticks).collect()
    return {row["name"]: row for row in rows}


def records(spark, named, received=RECEIVED):
    rows = [(name, None if value is None else bytearray(value), received) for name, value in named]
    return spark.createDataFrame(rows, "name string, value binary, timestamp timestamp")


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is(decoded, name):
    assert decoded[name]["error"] is None
    assert naive(decoded[name]["event"]) == EVENTS[name][1]


@pytest.mark.parametrize("name", DEAD_LETTERS)
def test_a_dead_letter_is(decoded, name):
    assert decoded[name]["event"] is None
    assert decoded[name]["error"] == DEAD_LETTERS[name][1]


def test_the_bytes_and_all_other_columns_are_kept(decoded, spark):
    for name, (value, _) in {**EVENTS, **DEAD_LETTERS}.items():
        assert decoded[name]["value"] == value
    assert decode(records(spark, []), stock_ticks).columns == ["name", "value", "timestamp", "event", "error"]


def test_absurd_numbers_cost_no_time(spark):
    """One of them would keep Spark's parser busy for minutes."""
    values = [(str(number), tick(price=f"1e{900_000_000 + number}")) for number in range(1000)]
    started = time.monotonic()
    assert decode(records(spark, values), stock_ticks).where("error like 'number out of bounds%'").count() == 1000
    assert time.monotonic() - started < 30


def test_every_type_and_optional_fields(spark):
    topic = Topic(
        name="readings",
        fields=(
            Field("at", "timestamp"),
            Field("ratio", "double", required=False),
            Field("is_good", "boolean", required=False),
            Field("seen_at", "timestamp", required=False),
        ),
        event_time="at",
    )
    values = [
        ("all", b'{"at":"2026-11-20T14:30:00Z","ratio":1e300,"is_good":true,"seen_at":"2026-11-20T14:30:01Z"}'),
        ("none", b'{"at":"2026-11-20T14:30:00Z","ratio":null}'),
        ("wrong", b'{"at":"2026-11-20T14:30:00Z","is_good":"yes"}'),
        ("wrong time", b'{"at":"2026-11-20T14:30:00Z","seen_at":"noon"}'),
    ]
    found = {row["name"]: row for row in decode(records(spark, values), topic).collect()}
    moment = datetime(2026, 11, 20, 14, 30)
    assert naive(found["all"]["event"]) == (moment, 1e300, True, moment + timedelta(seconds=1))
    assert naive(found["none"]["event"]) == (moment, None, None, None)
    assert (found["wrong"]["error"], found["wrong time"]["error"]) == ("wrong type: is_good", "wrong type: seen_at")


def test_a_format_of_bytes_needs_its_decoder_alone(spark, monkeypatch):
    """Its values are no text: what is in them is for its decoder to say, and what every format has is not."""
    monkeypatch.setattr("jobs.topic.FORMATS", ("json", "packed"))
    monkeypatch.setitem(DECODERS, "packed", decode_packed)
    topic = Topic("readings", (Field("at", "timestamp"), Field("volume", "long")), "at", "packed", max_value_bytes=20)
    moment, volume = datetime(2026, 11, 20, 14, 30, 0, 123456), 0x7FFF_FEFD_C0C1_80FF
    packed = struct.pack(">qq", micros(moment), volume)
    with pytest.raises(UnicodeDecodeError):
        packed.decode()
    old = struct.pack(">qq", micros(moment - timedelta(days=401)), volume)
    cases = [("good", packed), ("short", packed[:-1]), ("old", old), ("long", packed + b"12345"), ("none", None)]
    found = {row["name"]: row for row in decode(records(spark, cases), topic).collect()}
    assert naive(found["good"]["event"]) == (moment, volume)
    assert {name: row["error"] for name, row in found.items()} == {
        "good": None,
        "short": "not 16 bytes",
        "old": "event time out of bounds: at 2025-10-15 14:30:00.123456",
        "long": "value too long: 21 bytes, the topic allows 20",
        "none": "null value",
    }


def decode_packed(read, topic):
    """Two signed numbers of 8 bytes, the greatest first: microseconds since the epoch, and a volume."""
    first, second = (f"cast(conv(hex(substring(_bytes, {start}, 8)), 16, 10) as long)" for start in (1, 9))
    event = F.expr(f"named_struct('at', timestamp_micros({first}), 'volume', {second})")
    is_whole = F.expr("octet_length(_bytes) = 16")
    read = read.withColumn("_event", F.when(is_whole, event))
    return read.withColumn("_fault", F.when(~is_whole, F.lit("not 16 bytes")))


def micros(moment):
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@settings(max_examples=10)
@given(arrivals=batches(count=1, size=60), noise=st.lists(st.binary(max_size=60), max_size=20))
def test_it_agrees_with_plain_python(spark, arrivals, noise):
    sent = [Sent(a.value, a.timestamp, 0, i) for i, a in enumerate(arrivals[0])]
    sent += [Sent(value, RECEIVED, 0, len(sent) + i) for i, value in enumerate(noise)]
    rows = [(s.offset, None if s.value is None else bytearray(s.value), s.timestamp) for s in sent]
    frame = spark.createDataFrame(rows, "offset long, value binary, timestamp timestamp")
    found = {row["offset"]: row["event"] and naive(row["event"]) for row in decode(frame, stock_ticks).collect()}
    for one in sent:
        right = read_tick(one)
        assert found[one.offset] == (right and naive(right[:4])), one


def naive(values):
    """Collected timestamps are naive, in the zone of the machine: as UTC, and without a zone."""
    return tuple(_naive(value) for value in values)


def _naive(value):
    if not isinstance(value, datetime):
        return value
    return value.astimezone(timezone.utc).replace(tzinfo=None)
