"""`millrace versions`, `compare`, `switch` and `rollback`: what they show, what they ask, and what they refuse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.cli import app, shared
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.serving import begin_serving, served_version, serving_history, switch
from millrace.supervision.connection import Connection
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_processed, write_speed
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

CODE = fingerprint(stock_high_low)
FIRST, SECOND = interval(0).id, interval(1).id
Millrace = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lake_here(environment: Environment) -> Environment:
    """v1 is served. Both it and the code's version have published the first day, and have rows of the second.

    They differ in the first one.
    """
    own = replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
    begin_serving(own, stock_high_low, "v1", "test")
    for version, high in (("v1", 10), (CODE, 11)):
        publish_day(own, 0, version, high)
        write_speed(own, interval(1), batch_id=0, high=5, version=version)
        write_processed(own, version, 100)
    return own


@pytest.fixture
def millrace(lake_here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Millrace:
    """Runs a command on the lake, with an answer to what it asks: its exit code, what it printed, and its errors."""
    connection = Connection(lake_here, FakePlatform(), FolderNotes(tmp_path))
    monkeypatch.setattr(shared, "connected", lambda: connection)

    def run(*arguments: str, answer: str = "") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, list(arguments), input=answer)
        return done.exit_code, done.stdout, done.stderr + (str(done.exception) if done.exception else "")

    return run


def publish_day(environment: Environment, number: int, version: str, high: int) -> None:
    run = f"{version}-{number}"
    write_batch(environment, interval(number), run, high)
    publish(
        environment,
        stock_high_low,
        interval(number),
        run=run,
        version=version,
        certificate=certificate(1),
        result={"rows_read": 3},
    )


def test_versions_tell_what_is_served_what_each_has_and_every_switch(
    millrace: Millrace, lake_here: Environment
) -> None:
    switch(lake_here, stock_high_low, CODE, "somebody", "a better close")
    switch(lake_here, stock_high_low, "v1", "somebody else", "it was not")
    told = json.loads(millrace("versions", "stock_high_low", "--json")[1])
    assert (told["code"], told["order"]) == (CODE, ["v1", CODE])
    has = {"published": [FIRST], "partial": [], "speed": [SECOND], "micro_batch": 0, "processed": 100}
    assert told["versions"] == [
        {"version": "v1", **has, "served": True},
        {"version": CODE, **has, "served": False},
    ]
    assert [(row["versions"], row["by"], row["reason"]) for row in told["history"]] == [
        (["v1"], "test", "the first version"),
        ([CODE, "v1"], "somebody", "a better close"),
        (["v1", CODE], "somebody else", "it was not"),
    ]
    lines = [line.split() for line in millrace("versions", "stock_high_low")[1].splitlines()]
    span = ["1", f"({FIRST}", "to", f"{FIRST})", "1", f"({SECOND}", "to", f"{SECOND})", "0", "100"]
    assert ["v1", "served", *span] in lines
    assert [CODE, "the", "code's", *span] in lines
    assert any(line[2:] == [CODE, "v1", "somebody", "a", "better", "close"] for line in lines)


def test_before_anything_is_served_the_version_of_the_code_is_listed(
    millrace: Millrace, lake_here: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = replace(lake_here, lake=f"{lake_here.lake}/empty")
    monkeypatch.setattr(shared, "connected", lambda: Connection(empty, FakePlatform(), FolderNotes(tmp_path)))
    told = json.loads(millrace("versions", "stock_high_low", "--json")[1])
    assert (told["order"], told["history"]) == ([], [])
    assert [CODE, "the", "code's", "0", "0"] in [
        line.split() for line in millrace("versions", "stock_high_low")[1].splitlines()
    ]


def test_a_comparison_counts_rows_and_names_the_keys_that_differ_most(millrace: Millrace) -> None:
    code, printed, _ = millrace("compare", "stock_high_low", "v1", CODE)
    assert code == 0
    lines = printed.splitlines()
    assert lines[0] == f"stock_high_low: version v1 against {CODE}, by key: 2 intervals that both answer"
    assert [line.split() for line in lines[1:3]] == [["equal", "3"], ["different", "3"]]
    assert f"{FIRST} (batch against batch): 0 equal, 3 different, 0 only in v1, 0 only in {CODE}" in lines
    assert f"  symbol=A, window_start=2026-11-01 00:01:00: high 10 in v1, 11 in {CODE}" in lines
    told = json.loads(millrace("compare", "stock_high_low", "v1", CODE, "--start", "2026-11-02", "--json")[1])
    assert told["is_equal"]
    assert [(each["interval"], each["equal"]) for each in told["intervals"]] == [(SECOND, 3)]


def test_a_version_that_left_nothing_cannot_be_compared(millrace: Millrace) -> None:
    code, _, errors = millrace("compare", "stock_high_low", "v1", "v9")
    assert code == 1
    assert "version v9 has neither published an interval nor speed rows" in errors


def test_a_switch_shows_what_changes_and_asks(millrace: Millrace, lake_here: Environment) -> None:
    code, printed, _ = millrace("switch", "stock_high_low", answer="n\n")
    assert code == 1
    assert f"stock_high_low: version v1 against {CODE}, by key: 2 intervals" in printed
    assert f"serve {CODE} in place of v1?" in printed
    assert served_version(lake_here, stock_high_low) == "v1"
    code, printed, _ = millrace("switch", "stock_high_low", answer="y\n")
    assert code == 0
    assert printed.endswith(f"stock_high_low: version {CODE} is served from now on; what it has not published, by v1\n")
    assert served_version(lake_here, stock_high_low) == CODE


def test_what_happens_while_somebody_thinks_is_looked_at_before_the_switch(
    millrace: Millrace, lake_here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def yes(*_: object, **__: object) -> bool:
        write_speed(lake_here, interval(2), batch_id=1, high=5, version="v1")
        return True

    monkeypatch.setattr("typer.confirm", yes)
    code, _, errors = millrace("switch", "stock_high_low", "--wait", "0")
    assert code == 1
    assert f"the speed layer serves would have no rows, or only late ones: {interval(2).id}" in errors
    assert served_version(lake_here, stock_high_low) == "v1"


def test_scripts_switch_and_roll_back_without_a_question(millrace: Millrace, lake_here: Environment) -> None:
    told = json.loads(millrace("switch", "stock_high_low", CODE, "--yes", "--reason", "new", "--json")[1])
    assert (told["versions"], told["reason"]) == ([CODE, "v1"], "new")
    assert millrace("switch", "stock_high_low", CODE, "--yes")[1].startswith(
        f"stock_high_low: version {CODE} is served already"
    )
    told = json.loads(millrace("rollback", "stock_high_low", "--yes", "--json")[1])
    assert told["versions"] == ["v1", CODE]
    code, _, errors = millrace("rollback", "stock_high_low", "--yes")
    assert code == 1
    assert "version v1 is served and none was before it" in errors
    assert len(serving_history(lake_here, stock_high_low)) == 3


def test_a_version_that_is_not_backfilled_is_refused_unless_the_older_one_may_go_on(
    millrace: Millrace, lake_here: Environment
) -> None:
    publish_day(lake_here, 2, "v1", 1)
    code, _, errors = millrace("switch", "stock_high_low", "--yes", "--wait", "0")
    assert code == 1
    assert "1 served intervals are published by other versions (v1) alone, which would go on serving them" in errors
    assert f"{interval(2).id}; run them under version {CODE}" in errors
    assert served_version(lake_here, stock_high_low) == "v1"
    assert millrace("switch", "stock_high_low", "--yes", "--allow-older")[0] == 0
    assert served_version(lake_here, stock_high_low) == CODE


def test_a_rollback_says_what_the_older_version_lacks_by_now_and_does_it(
    millrace: Millrace, lake_here: Environment
) -> None:
    switch(lake_here, stock_high_low, CODE, "test", "")
    write_speed(lake_here, interval(2), batch_id=1, high=5, version=CODE)
    publish_day(lake_here, 3, CODE, 1)
    code, printed, errors = millrace("rollback", "stock_high_low", answer="y\n")
    assert code == 0
    stays = f"published by other versions ({CODE}) alone, which would go on serving them: {interval(3).id}"
    assert f"version v1: 1 served intervals are {stays}" in errors
    assert "`millrace reprocess stock_high_low --version v1 INTERVAL …`" in errors
    assert (
        f"version v1: 1 intervals that the speed layer serves would have no rows, or only late ones: {interval(2).id}"
        in errors
    )
    assert "serve v1 in place of" in printed
    assert served_version(lake_here, stock_high_low) == "v1"


def test_a_rollback_goes_back_although_nobody_can_say_what_that_version_lacks(
    millrace: Millrace, lake_here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise ConnectionError("the lake is slow")

    switch(lake_here, stock_high_low, CODE, "test", "")
    monkeypatch.setattr("millrace.lake.readiness.processed_offsets", silent)
    code, _, errors = millrace("rollback", "stock_high_low", "--yes")
    assert code == 0
    assert "version v1: what it lacks by now is not known (ConnectionError: the lake is slow)" in errors
    assert served_version(lake_here, stock_high_low) == "v1"
