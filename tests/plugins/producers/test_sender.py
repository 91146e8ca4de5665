from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from millrace.producers import AcksFile, Settings, generate, read_acks, send
from millrace.producers.garbage import MAKERS
from millrace.producers.pace import Pace
from millrace.producers.stop import Stop
from millrace.producers.summary import DeliveryFailedError, Written
from millrace.producers.topic import TopicUnusableError, retention

START = datetime(2026, 11, 20, tzinfo=UTC)


def test_what_is_acknowledged_is_in_kafka_to_the_byte_and_nothing_else_is(kafka, topic, read_all, tmp_path):
    settings = Settings(START, rate=1000, count=2000, late=0.1, disorder=0.1, duplicates=0.1, garbage=0.05)
    sent = list(generate(settings))
    with AcksFile(tmp_path / "acks.jsonl") as acks:
        summary = send(sent, topic, kafka, observers=[acks])
    found = {
        (message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value())
        for message in read_all(topic)
    }
    told = list(read_acks(tmp_path / "acks.jsonl"))
    assert {ack[:5] for ack in told} == found
    assert len(found) == len(told) == summary.produced == summary.acknowledged == 2000
    assert summary.kinds == Counter(record.kind for record in sent) == Counter(ack.kind for ack in told)
    assert set(MAKERS) <= set(summary.kinds)
    for number, written in summary.partitions.items():
        offsets = [ack.offset for ack in told if ack.partition == number]
        assert written == Written(min(offsets), max(offsets), len(offsets))


def test_a_key_stays_in_one_partition_and_all_three_are_used(kafka, topic, read_all):
    send(generate(Settings(START, count=300)), topic, kafka)
    places = {(message.key(), message.partition()) for message in read_all(topic)}
    assert len(places) == 10
    assert {partition for _, partition in places} == {0, 1, 2}


def test_a_full_queue_slows_the_producer_down_and_loses_nothing(kafka, topic):
    smaller_than_one_poll = {"queue.buffering.max.messages": "50"}
    summary = send(generate(Settings(START, count=2000)), topic, kafka, smaller_than_one_poll)
    assert summary.acknowledged == 2000


def test_refused_records_are_counted_and_named_at_the_end(kafka, make_topic):
    topic = make_topic({"message.timestamp.before.max.ms": "3600000"})
    now = datetime.now(UTC)
    old = Settings(now - timedelta(days=2), count=5, symbols=("OLD",))
    new = replace(old, start=now, symbols=("NEW",))
    with pytest.raises(DeliveryFailedError, match=r"not delivered \(partition \d, offset \?: ") as caught:
        send([*generate(old), *generate(new)], topic, kafka, {"linger.ms": "0"})
    summary = caught.value.summary
    assert summary.failed >= 5
    assert summary.produced == summary.acknowledged + summary.failed == 10
    assert len(caught.value.failures) == summary.failed


def test_a_value_that_the_client_itself_refuses_is_counted_too(kafka, topic):
    settings = Settings(START, count=3, garbage=1.0, garbage_kinds=("huge_value",))
    with pytest.raises(DeliveryFailedError, match="3 of 3 records"):
        send(generate(settings), topic, kafka, {"message.max.bytes": "100000"})


def test_a_stop_ends_the_run_and_the_summary_is_exact(kafka, topic, read_all):
    stop = Stop()
    seen = []

    def stop_at_the_tenth(message, kind):
        seen.append(message.offset())
        if len(seen) == 10:
            stop.ask()

    endless = generate(Settings(START, rate=100))
    summary = send(endless, topic, kafka, speed=1.0, observers=[stop_at_the_tenth], stop=stop)
    assert summary.stopped
    assert 10 <= summary.produced < 100
    assert summary.acknowledged == summary.produced == len(read_all(topic))


def test_sigterm_flushes_and_prints_an_exact_summary(kafka, topic, read_all):
    code = "import typer; from millrace.cli.data import register; app = typer.Typer(); register(app); app()"
    command = [sys.executable, "-c", code, "produce", "--topic", topic, "--bootstrap", kafka, "--rate", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("delivered ")
        process.send_signal(signal.SIGTERM)
        output = process.stdout.read()
    count = len(read_all(topic))
    assert f"stopped: produced {count}, acknowledged {count}, failed 0" in output
    assert process.returncode == 0


def test_a_topic_that_is_not_there_is_named_and_not_created(kafka):
    for _ in range(2):
        with pytest.raises(TopicUnusableError, match="'no_such_topic' does not exist"):
            send([], "no_such_topic", kafka)


def test_a_broker_that_does_not_answer_is_named():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(TopicUnusableError, match=f"Kafka at {address}"):
            send([], "stock_ticks", address)


def test_how_long_a_topic_keeps_its_records(kafka, make_topic, topic):
    assert retention(topic, kafka) is None
    assert retention(make_topic({"retention.ms": "60000"}), kafka) == timedelta(minutes=1)
    assert retention(make_topic({"retention.ms": "60000", "cleanup.policy": "compact"}), kafka) is None


def test_the_pace_maps_event_time_to_wall_time():
    clock = iter([100.0, 100.0, 101.5]).__next__
    pace = Pace(60, clock)
    assert pace.horizon(5_000) == 5_000
    assert pace.wait_s(65_000, 5_000) == 1.0
    assert pace.horizon(65_000) == 95_000
    assert pace.wait_s(65_000, 95_000) == 0
