"""What a version was declared as is read back as it was, whatever the code at hand says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.declaration import declaration_text, read_declaration
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Field
from jobs.topics import stock_ticks
from jobs.windows import Sessions, Sliding

MINUTE, LAKE = timedelta(minutes=1), Lake("")
DECLARED = [
    stock_high_low,
    replace(stock_high_low, key=("window_start",), watermark=7 * MINUTE, interval=timedelta(hours=6), revision=4),
    replace(stock_high_low, window=Sliding(10 * MINUTE, 2 * MINUTE, placed_by="end")),
    replace(stock_high_low, window=Sessions(20 * MINUTE, ("symbol",), timedelta(hours=2), end="ended")),
    replace(stock_high_low, topic=replace(stock_ticks, name="other", max_age=timedelta(days=9), partitions=7)),
]


class Files:
    """Small files in memory."""

    def __init__(self, **texts: str) -> None:
        self.texts = {LAKE.declaration(version): text for version, text in texts.items()}

    def read(self, uri):
        return self.texts.get(uri)

    def read_head(self, uri, size):
        raise NotImplementedError

    def names(self, uri):
        raise NotImplementedError


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("here", DECLARED)
def test_a_declaration_is_read_back_as_it_was(declared, here):
    noted = replace(declared, alerts=here.alerts)
    assert read_declaration(Files(v1=declaration_text(declared)), LAKE, here, "v1") == (
        replace(noted, topic=replace(noted.topic, partitions=here.topic.partitions))
        if noted.topic.name == here.topic.name
        else noted
    )


def test_of_a_version_that_the_lake_does_not_know_or_is_yet_to_be_told_it_is_that_of_the_code_here():
    for files in (Files(), Files(v1="")):
        assert read_declaration(files, LAKE, DECLARED[1], "v1") == DECLARED[1]


def test_what_decides_no_answer_is_that_of_the_code_here():
    noted = Files(v1=declaration_text(stock_high_low))
    topic = replace(
        stock_ticks, allowed_lateness=timedelta(hours=9), fields=(*stock_ticks.fields, Field("x", "long", False))
    )
    here = replace(stock_high_low, topic=topic, float_tolerance=0.5, max_unexplained=3, key=("window_start",))
    found = read_declaration(noted, LAKE, here, "v1")
    assert (found.float_tolerance, found.max_unexplained) == (0.5, 3)
    assert found.topic == replace(stock_ticks, allowed_lateness=timedelta(hours=9))
    assert found.key == stock_high_low.key


def test_two_pipelines_that_answer_alike_are_one_version_and_keep_their_names():
    noted = Files(v1=declaration_text(replace(stock_high_low, name="one")))
    assert read_declaration(noted, LAKE, replace(stock_high_low, name="two"), "v1").name == "two"


def test_alerts_are_no_part_of_a_version():
    assert declaration_text(stock_high_low) == declaration_text(replace(stock_high_low, alerts=None))
    assert "alerts" not in declaration_text(stock_high_low)
    without = replace(stock_high_low, alerts=None)
    assert read_declaration(Files(v1=declaration_text(stock_high_low)), LAKE, without, "v1") == without


def test_what_a_later_release_may_add_is_passed_over():
    content = json.loads(declaration_text(DECLARED[3]))
    content["new"] = content["topic"]["new"] = content["window"]["new"] = content["topic"]["fields"][0]["new"] = 1
    assert read_declaration(Files(v1=json.dumps(content)), LAKE, DECLARED[3], "v1") == DECLARED[3]
