"""`millrace ledger` says what the ledger holds, and its exit code whether that is all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobs.topics import TOPICS, stock_ticks
from millrace.cli import main
from millrace.environment import Environment
from tests.plugins.lake.ledger.kafka_records import create_topic, delete_topic, send, send_transaction
from tests.plugins.lake.ledger.raw_rows import archive, new_topic

Ledger = Callable[..., tuple[int, str]]


@pytest.fixture
def topic(kafka: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A declared topic: three records and their marker, then six records."""
    name = new_topic()
    monkeypatch.setitem(TOPICS, name, replace(stock_ticks, name=name))
    create_topic(kafka, name)
    send_transaction(kafka, name, 3, commit=True)
    send(kafka, name, 6)
    return name


@pytest.fixture
def ledger(own_lake: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ledger:
    """Runs the command on a lake of its own; its exit code and what it printed."""
    from millrace.supervision.connection import Connection

    connection = Connection(own_lake, platform=None, notes=None)  # type: ignore[arg-type]
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: connection)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["ledger", *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def test_a_complete_ledger_exits_with_0(own_lake: Environment, topic: str, ledger: Ledger) -> None:
    archive(own_lake, topic, [0, 1, 2, 4, 5, 6])
    code, out = ledger(topic)
    assert code == 0
    assert "complete: every offset" in out
    assert "transaction markers" in out


def test_a_missing_record_is_named_and_exits_with_1(own_lake: Environment, topic: str, ledger: Ledger) -> None:
    archive(own_lake, topic, [0, 1, 4, 5, 6])
    code, out = ledger(topic)
    assert code == 1
    assert "not complete: missing" in out


def test_json_has_every_range_and_the_same_exit_code(own_lake: Environment, topic: str, ledger: Ledger) -> None:
    archive(own_lake, topic, [0, 1, 4, 5, 6])
    code, out = ledger(topic, "--json")
    told = json.loads(out)
    (partition,) = told["partitions"]
    assert (code, told["complete"]) == (1, False)
    assert partition["archived"] == [[0, 2], [4, 7]]
    assert (partition["records"], partition["coverage"], partition["lag"]) == (5, 7, 3)
    gaps = [(gap["kind"], gap["start"], gap["end"], gap["harmless"]) for gap in partition["gaps"]]
    assert gaps == [("missing", 2, 3, False), ("transaction markers", 3, 4, True)]


def test_without_an_answer_of_kafka_nothing_is_complete_although_there_is_no_gap(
    own_lake: Environment, topic: str, ledger: Ledger, kafka: str
) -> None:
    """The topic is gone, and with it the last three records, which nobody had archived."""
    archive(own_lake, topic, [0, 1, 2, 4, 5, 6])
    assert ledger(topic)[0] == 0
    delete_topic(kafka, topic)
    code, out = ledger(topic)
    assert code == 1
    assert f"{topic}: not known whether anything is lost, because Kafka could not be asked" in out
    code, out = ledger(topic, "--json")
    told = json.loads(out)
    assert (code, told["complete"], told["accounted_for"]) == (1, False, False)
    assert topic in told["problem"]
    assert [gap["kind"] for gap in told["partitions"][0]["gaps"]] == ["transaction markers"]
