"""The fingerprint changes with the answers, and only with them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Field
from jobs.topics import stock_ticks
from jobs.version import fingerprint

pytestmark = pytest.mark.both_engines

ROOT = Path(__file__).parents[2]
CODE = "def high_low(ticks):\n    return ticks.where('price > 0')\n"
_numbers = itertools.count()


@pytest.fixture
def version_of(tmp_path, monkeypatch):
    """The fingerprint of a pipeline with this source as its transformation; the module's name is always the same."""

    def version(source: str) -> str:
        folder = tmp_path / f"source_{next(_numbers)}"
        folder.mkdir()
        (folder / "fingerprinted.py").write_text(source, encoding="utf-8")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            return fingerprint(dataclasses.replace(stock_high_low, transform="fingerprinted:high_low"))

    return version


@pytest.mark.parametrize(
    "same",
    [
        "# All prices.\n\n" + CODE,
        CODE.replace("0')\n", "0')  # 1 cent at least\n\n\n"),
        CODE.replace("\n", "\r\n"),
        CODE.replace(":\n", ":   \n"),
    ],
)
def test_comments_and_blank_space_do_not_matter(version_of, same):
    assert version_of(same) == version_of(CODE)


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("> 0", ">= 0"),
        CODE.replace("'price > 0'", "'price > 0 # not a comment'"),
        CODE.replace("    return", "    ticks = ticks\n    return"),
        "LIMIT = 5\n" + CODE,
    ],
)
def test_code_matters(version_of, other):
    assert version_of(other) != version_of(CODE)


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 2},
        {"key": ("symbol",)},
        {"row_time": "window_end"},
        {"window": timedelta(minutes=2)},
        {"watermark": timedelta(minutes=3)},
        {"interval": timedelta(hours=1)},
        {"topic": dataclasses.replace(stock_ticks, max_value_bytes=1000)},
        {"topic": dataclasses.replace(stock_ticks, fields=(*stock_ticks.fields, Field("venue", "string", False)))},
    ],
)
def test_what_decides_the_answers_matters(change):
    assert fingerprint(dataclasses.replace(stock_high_low, **change)) != fingerprint(stock_high_low)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"float_tolerance": 0.5},
        {"topic": dataclasses.replace(stock_ticks, partitions=9)},
        {"topic": dataclasses.replace(stock_ticks, allowed_lateness=timedelta(hours=5))},
    ],
)
def test_what_does_not_decide_the_answers_does_not_matter(change):
    assert fingerprint(dataclasses.replace(stock_high_low, **change)) == fingerprint(stock_high_low)


def test_it_is_the_same_in_every_process_and_on_every_python():
    """A cluster's Python 3.8 must find the checkpoint that Airflow's Python named."""
    code = (
        "from jobs.version import fingerprint; from jobs.pipelines import find_pipeline;"
        "print(fingerprint(find_pipeline('stock_high_low')))"
    )
    pythons = [sys.executable] + [str(p) for p in ROOT.glob(".venv*/bin/python")]
    found = {
        subprocess.run(
            [python, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.strip()
        for python in pythons
    }
    assert found == {fingerprint(stock_high_low).encode()}


def test_a_missing_source_is_named_with_its_remedy():
    with pytest.raises(
        UsageError, match=r"'no\.such:f' is in no module that can be found; create no/such\.py or correct"
    ):
        fingerprint(dataclasses.replace(stock_high_low, transform="no.such:f"))


def test_a_change_of_a_decoder_is_a_new_version(monkeypatch):
    from jobs import version

    before = fingerprint(stock_high_low)
    first, *others = version.decoder_sources()
    monkeypatch.setattr(version, "decoder_sources", lambda: [first, *others[:-1], others[-1] + "\nchanged = True\n"])
    assert fingerprint(stock_high_low) != before
    monkeypatch.setattr(version, "decoder_sources", lambda: [first + "\n# a comment\n", *others])
    assert fingerprint(stock_high_low) == before
    assert any("def decode_json" in source for source in others)
