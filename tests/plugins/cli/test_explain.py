"""`millrace explain` as a person reads it: the cause of a key's difference and why, in words; partial where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.declaration import declaration_text
from jobs.lake import Lake, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import decoder_fingerprint
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.speed_removal import remove_speed_rows
from millrace.lake.store import LakeStore
from tests.plugins.lake.lake_rows import certificate, interval, write_speed
from tests.plugins.lake.raw_rows import local_environment

DAY, MINUTE, VERSION, RUN = interval(0), timedelta(minutes=1), "v1", "run-1"
NAME = stock_high_low.name
UTC_TIME = pa.timestamp("us", tz="UTC")
OWN_DECODER = decoder_fingerprint(stock_high_low.topic)
HIGH = {0: (9, 1), 1: (5, 4), 2: (7, 7), 3: (6, 5)}
"""Per minute of the day, what batch and speed answer: late, unexplained, the same, and a difference not listed."""


def moment(minute: int) -> datetime:
    return DAY.start + minute * MINUTE


def difference(minute: int, cause: str) -> dict[str, Any]:
    batch, speed = HIGH[minute]
    key = {"symbol": "A", "window_start": moment(minute).isoformat().replace("+00:00", ".000Z")}
    return {"key": key, "outcome": "different", "cause": cause, "batch": {"high": batch}, "speed": {"high": speed}}


def result(**changed: Any) -> dict[str, Any]:
    listed = [difference(1, "unexplained"), difference(0, "late")]
    parity = {"equal": 1, "different": 3, "only_batch": 0, "only_speed": 0, "differences": listed}
    parity["causes"] = {"late": 2, "unexplained": 1}
    return {"run": RUN, "version": VERSION, "raw_version": 0, "speed_batch": 2, "parity": parity, **changed}


def write_rows(environment: Environment, layer: str, place: int, **columns: object) -> None:
    count = len(HIGH)
    table = pa.table(
        {
            "symbol": ["A"] * count,
            "window_start": pa.array(list(map(moment, HIGH)), UTC_TIME),
            "high": [answers[place] for answers in HIGH.values()],
            "_interval": [DAY.id] * count,
            **{name: [value] * count for name, value in columns.items()},
        }
    )
    write_deltalake(f"{environment.lake}/{layer}/{NAME}", table, partition_by=["_interval"])


def write_archive(environment: Environment, *minutes: int, decoder: str = OWN_DECODER) -> None:
    """An event per minute named, at these offsets, in one commit."""
    times = pa.array(list(map(moment, minutes)), UTC_TIME)
    event = pa.StructArray.from_arrays([pa.array(["A"] * len(minutes)), times], ["symbol", "event_time"])
    first = 0 if minutes[0] == 0 else 6
    table = pa.table(
        {
            "partition": pa.array([0] * len(minutes), pa.int32()),
            "offset": pa.array(range(first, first + len(minutes)), pa.int64()),
            "event": event,
            "timestamp": times,
            "archived_at": times,
            "redecoded_at": pa.nulls(len(minutes), UTC_TIME),
            "decoder": [decoder] * len(minutes),
            "event_date": pa.array([DAY.start.date()] * len(minutes)),
        }
    )
    write_deltalake(Lake(environment.lake).raw("stock_ticks"), table, mode="append", partition_by=["event_date"])


def write_journal(environment: Environment) -> None:
    """Micro-batch 1 read the offsets 0 to 4, and 2 the fifth, which it judged by a watermark of the third minute."""
    store, folder = LakeStore(environment), Lake("").checkpoint(speed_query(NAME), VERSION)
    store.write(f"{folder}/metadata", b'{"id":"q"}')
    store.write(f"{folder}/offsets/0", b'v1\n{"batchWatermarkMs":0}\n{"stock_ticks":{"0":0}}')
    lines = [
        {
            "batch_id": number,
            "query_id": "q",
            "timestamp": moment(10).isoformat(),
            "start_offsets": {"stock_ticks": {"0": first}},
            "end_offsets": {"stock_ticks": {"0": after}},
            "watermark": None,
            "late_watermark": late,
        }
        for number, first, after, late in ((1, 0, 5, None), (2, 5, 6, moment(3).isoformat()))
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    store.write(Lake("").progress(speed_stream(NAME, VERSION), "2026-11-01"), text.encode())


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    environment = local_environment(tmp_path)
    LakeStore(environment).write(Lake("").declaration(VERSION), declaration_text(stock_high_low).encode())
    write_archive(environment, 0, 0, 1, 2, 3, 0)  # the last is late for its window, whose row lacks it
    write_rows(environment, "batch", 0, _run=RUN)
    write_rows(environment, "speed", 1, _version=VERSION, _batch_id=1)
    write_journal(environment)
    LakeStore(environment).write_json(Lake("").newest_result(NAME, VERSION, DAY.id), result())
    return environment


@pytest.fixture
def printed(
    here: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What `millrace explain` prints of the day, or of one minute of it."""
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=here))

    def run(minute: int | None = None, *arguments: str) -> str:
        capsys.readouterr()
        key = () if minute is None else ("symbol=A", f"window_start={moment(minute):%Y-%m-%dT%H:%M}")
        with pytest.raises(SystemExit) as end:
            main(("explain", NAME, DAY.id, *key, "--version", VERSION, *arguments))
        assert not end.value.code
        return capsys.readouterr().out

    return run


def test_a_late_key_is_told_with_what_came_too_late_for_it(printed: Callable[..., str]) -> None:
    *_, cause, why = printed(0).splitlines()
    assert cause == "cause: late"
    assert why == (
        "They differ: high is 9 in batch, 1 in speed. Of the 3 records that batch counted the speed layer lacks 1:"
        " 1 came after it had closed their window (late)."
    )


def test_an_unexplained_key_does_not_read_as_if_all_were_well(printed: Callable[..., str]) -> None:
    text = printed(1)
    *_, cause, why = text.splitlines()
    assert cause == "cause: unexplained"
    assert why == (
        "They differ: high is 5 in batch, 4 in speed. It should have counted 1, and its answer does not follow from"
        " them, or batch's own does not come again: this is unexplained."
    )
    (record,) = [line for line in text.splitlines() if "symbol=A" in line]
    assert record.count("counted") == 2  # batch's own, and
    assert "should have counted" in record
    assert f"1 raw records; run {RUN}, version {VERSION}: not published" in text
    assert json.loads(printed(1, "--json"))["cause"] == "unexplained"


def test_a_key_on_which_both_agree_has_no_cause(printed: Callable[..., str]) -> None:
    assert printed(2).splitlines()[-2:] == ["cause: none", "Batch and speed answer the same."]
    assert printed(4).splitlines()[-2:] == ["cause: none", "Neither layer has a row of this key."]


def test_of_a_key_that_the_run_does_not_list_is_told_what_is_known(
    printed: Callable[..., str], here: Environment
) -> None:
    """The run lists all that is unexplained, and has one cause beside it: late. Where it lists less, nobody knows."""
    assert printed(3).splitlines()[-2] == "cause: late"
    causes = {"late": 1, "unexplained": 2}
    cut = result(parity={**result()["parity"], "causes": causes})
    LakeStore(here).write_json(Lake("").newest_result(NAME, VERSION, DAY.id), cut)
    assert printed(3).splitlines()[-2] == "cause: unexplained"  # the speed layer lacks none of its events


def test_when_the_run_read_its_records_is_told(printed: Callable[..., str], here: Environment) -> None:
    began = result(began_at="2026-11-02T02:00:01.5+00:00")
    LakeStore(here).write_json(Lake("").newest_result(NAME, VERSION, DAY.id), began)
    told = f"run {RUN}, version {VERSION}, began on 2026-11-02 02:00:01 UTC: not published"
    assert told in printed()
    assert told in printed(0)
    assert json.loads(printed(0, "--json"))["began_at"] == began["began_at"]


def test_what_came_after_the_run_is_told(printed: Callable[..., str], here: Environment) -> None:
    write_archive(here, 2)
    assert printed(2).endswith("answer the same. 1 more arrived after the run: pending late, if it is published.\n")


def test_records_of_another_decoder_are_told(printed: Callable[..., str], here: Environment) -> None:
    assert "decoder" not in printed(2)
    write_archive(here, 2, decoder="another")
    text = printed(2)
    assert f"1 records of these days were archived by another decoder than version {VERSION}'s" in text
    assert text.splitlines()[-2] == "cause: none", "the cause stays where a person looks first"


def test_of_speed_rows_that_were_removed_is_said_so(printed: Callable[..., str], here: Environment) -> None:
    explained = result(parity={**result()["parity"], "causes": {"late": 3}})
    assert publish(here, stock_high_low, DAY, run=RUN, version=VERSION, certificate=certificate(0), result=explained)
    write_speed(here, interval(1), batch_id=3, high=1, version=VERSION)
    assert remove_speed_rows(here, stock_high_low, DAY.end) == [DAY]
    *_, cause, why = printed(1).splitlines()
    assert cause == "cause: none"
    assert why.startswith("The speed layer's rows of this interval were removed at 20")
    assert "different" in printed(), "what the run found when they were there is kept"

    seen_none = {"equal": 0, "different": 0, "only_batch": 4, "only_speed": 0, "causes": {"unexplained": 4}}
    LakeStore(here).write_json(Lake("").newest_result(NAME, VERSION, DAY.id), result(parity=seen_none))
    assert f"{NAME} {DAY.id}: not compared: the speed layer's rows of it were removed at 20" in printed()


@pytest.mark.parametrize("minute", [None, 0])
def test_a_partial_interval_is_called_so(printed: Callable[..., str], here: Environment, minute: int | None) -> None:
    assert "partial" not in printed(minute)
    assert f"run {RUN}, version {VERSION}: not published" in printed(minute)
    explained = result(parity={**result()["parity"], "causes": {"late": 2}})
    proof = replace(certificate(0), partial=["the archive was behind"])
    assert publish(here, stock_high_low, DAY, run=RUN, version=VERSION, certificate=proof, result=explained)
    text = printed(minute)
    assert f"{NAME} {DAY.id} is partial: the archive was behind\n" in text
    assert f"run {RUN}, version {VERSION}: published" in text
