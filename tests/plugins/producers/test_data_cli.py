from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from millrace.cli.data import register
from millrace.producers import read_acks

app = typer.Typer()
register(app)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_produce_prints_each_delivery_with_partition_and_offset(kafka, topic):
    result = run("produce", "--topic", topic, "--bootstrap", kafka, "--rate", 50, "--count", 3, "--symbols", "AAPL")
    assert result.exit_code == 0, result.output
    assert [line.split(" (")[0] for line in result.stdout.splitlines()[:3]] == [
        f"delivered AAPL to {topic} partition 0 offset {offset}" for offset in range(3)
    ]
    assert "finished: produced 3, acknowledged 3, failed 0" in result.stdout


def test_past_days_are_sent_at_once_with_a_json_summary_and_an_acks_file(kafka, topic, tmp_path):
    acks = tmp_path / "acks.jsonl"
    days = ("--start", "2026-11-17T00:00:00Z", "--duration", "3d", "--rate", 0.01)
    result = run("produce", "--topic", topic, "--bootstrap", kafka, *days, "--json", "--acks-file", acks)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["acknowledged"] == 2592 == len(list(read_acks(acks)))
    assert summary["kinds"] == {"tick": 2592}
    assert set(summary["partitions"]) == {"0", "1", "2"}


def test_replay_sends_a_file_with_its_own_times(kafka, topic, read_all, tmp_path):
    path = tmp_path / "spy.csv"
    path.write_text("ts,close,volume\n2026-11-20 09:31,501.5,10\n2026-11-20 09:30,501.25,20\n")
    mapping = ("--set", "symbol=SPY", "--map", "price=close", "--time-column", "ts", "--time-zone", "America/New_York")
    result = run("replay", path, "--topic", topic, "--bootstrap", kafka, *mapping)
    assert result.exit_code == 0, result.output
    assert [(message.timestamp()[1], message.value()) for message in read_all(topic)] == [
        (
            1795185000000,
            b'{"symbol": "SPY", "event_time": "2026-11-20T14:30:00.000000Z", "price": 501.2500, "volume": 20}',
        ),
        (
            1795185060000,
            b'{"symbol": "SPY", "event_time": "2026-11-20T14:31:00.000000Z", "price": 501.5000, "volume": 10}',
        ),
    ]


def test_old_records_in_a_topic_that_forgets_are_warned_of(kafka, make_topic):
    topic = make_topic({"retention.ms": "3600000"})
    past = ("--start", "2020-01-01T00:00:00Z", "--count", 1)
    result = run("produce", "--topic", topic, "--bootstrap", kafka, *past)
    assert result.exit_code == 0, result.output
    assert "keeps records for 1:00:00" in result.stderr


def test_failed_deliveries_end_with_1_and_still_give_the_summary(kafka, make_topic):
    topic = make_topic({"message.timestamp.before.max.ms": "3600000"})
    past = ("--start", "2020-01-01T00:00:00Z", "--count", 4)
    result = run("produce", "--topic", topic, "--bootstrap", kafka, *past, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 4
    assert "4 of 4 records not delivered" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("produce", "--speed", "max"), "count and duration are missing"),
        (("produce", "--rate", "1e9"), "at most 100000"),
        (("produce", "--duration", "3 weeks"), "write 90s or 3d"),
        (("produce", "--start", "yesterday"), "ISO 8601"),
        (("produce", "--start", "2026-11-20T00:00:00", "--count", "1"), "without a zone"),
        (("replay", "none.csv"), "no such file"),
        (("replay", "none.csv", "--map", "price"), "FIELD=TEXT"),
        (("replay", "none.csv", "--map", "cost=close"), "a tick has symbol, event_time, price, volume"),
        (("replay", "none.csv", "--time-zone", "Mars/Olympus"), "IANA"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_write(arguments, told):
    result = run(*arguments, "--bootstrap", "127.0.0.1:1")
    assert result.exit_code == 2
    assert told in result.stderr
