"""`published` names one run per version and interval, whoever publishes, however often, in whatever order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.certificate import Certificate
from millrace.lake.published import publications, publications_of, publish
from millrace.lake.serving import switch
from tests.plugins.lake.lake_rows import certificate, interval


def publish_run(
    environment: Environment,
    number: int,
    run: str,
    raw_version: int,
    version: str = "v1",
    partial: Sequence[str] = (),
    rows_read: int = 3,
) -> bool:
    return publish(
        environment,
        stock_high_low,
        interval(number),
        run=run,
        version=version,
        certificate=replace(certificate(raw_version), partial=list(partial)),
        result={"rows_written": 3, "rows_read": rows_read},
    )


def served(environment: Environment) -> dict[str, str]:
    return {p.interval.id: p.run for p in publications(environment, stock_high_low)}


def published(environment: Environment, version: str) -> dict[str, str]:
    return {p.interval.id: p.run for p in publications_of(environment, stock_high_low, version)}


def test_nothing_is_served_before_the_first_publication(own_lake: Environment) -> None:
    assert publications(own_lake, stock_high_low) == []


def test_a_published_run_comes_back_with_its_certificate(own_lake: Environment) -> None:
    assert publish_run(own_lake, 0, "r1", raw_version=7)
    (found,) = publications(own_lake, stock_high_low)
    assert (found.interval, found.run, found.raw_version) == (interval(0), "r1", 7)
    assert found.certificate["coverage"] == {"0": 10}
    assert found.result == {"rows_written": 3, "rows_read": 3}


def test_the_same_run_twice_is_published_once(own_lake: Environment) -> None:
    """A task that was killed after its commit finds, when it runs again, that it has published."""
    assert publish_run(own_lake, 0, "r1", raw_version=1)
    (first,) = publications(own_lake, stock_high_low)
    assert publish_run(own_lake, 0, "r1", raw_version=1)
    assert publications(own_lake, stock_high_low) == [first]


def test_a_run_that_read_a_newer_archive_replaces_the_older(own_lake: Environment) -> None:
    publish_run(own_lake, 0, "old", raw_version=1)
    assert publish_run(own_lake, 0, "new", raw_version=2)
    assert served(own_lake) == {interval(0).id: "new"}


def test_a_run_that_read_an_older_archive_does_not_replace_the_newer(own_lake: Environment) -> None:
    publish_run(own_lake, 0, "new", raw_version=2)
    assert not publish_run(own_lake, 0, "old", raw_version=1)
    assert served(own_lake) == {interval(0).id: "new"}


def test_each_version_has_a_run_of_its_own_and_the_first_is_served_until_a_switch(own_lake: Environment) -> None:
    publish_run(own_lake, 0, "old", raw_version=2)
    assert publish_run(own_lake, 0, "fixed", raw_version=1, version="v2"), "it is compared with its own version's alone"
    assert published(own_lake, "v1") == {interval(0).id: "old"}
    assert published(own_lake, "v2") == {interval(0).id: "fixed"}
    assert served(own_lake) == {interval(0).id: "old"}
    switch(own_lake, stock_high_low, "v2", "test", "fixed")
    assert served(own_lake) == {interval(0).id: "fixed"}


def test_publishing_under_a_version_leaves_the_rows_of_the_others(own_lake: Environment) -> None:
    for version in ("v1", "v2"):
        for number in (0, 1):
            publish_run(own_lake, number, f"{version} {number}", raw_version=1, version=version)
    publish_run(own_lake, 0, "v2 again", raw_version=2, version="v2")
    assert published(own_lake, "v1") == {interval(0).id: "v1 0", interval(1).id: "v1 1"}
    assert published(own_lake, "v2") == {interval(0).id: "v2 again", interval(1).id: "v2 1"}


def test_after_a_switch_what_the_new_version_has_not_published_stays_served_by_the_older(own_lake: Environment) -> None:
    for number in (0, 1, 2):
        publish_run(own_lake, number, f"old {number}", raw_version=1)
    publish_run(own_lake, 1, "new 1", raw_version=1, version="v2")
    publish_run(own_lake, 3, "never served", raw_version=1, version="v3")
    switch(own_lake, stock_high_low, "v2", "test", "")
    assert served(own_lake) == {interval(0).id: "old 0", interval(1).id: "new 1", interval(2).id: "old 2"}


def test_a_partial_run_says_so_and_why(own_lake: Environment) -> None:
    assert publish_run(own_lake, 0, "r1", raw_version=1, partial=["the archive is behind Kafka"])
    publish_run(own_lake, 1, "r2", raw_version=1)
    assert [p.partial for p in publications(own_lake, stock_high_low)] == [["the archive is behind Kafka"], []]


def test_what_was_published_before_certificates_knew_of_partial_is_complete(own_lake: Environment) -> None:
    publish_run(own_lake, 0, "r1", raw_version=1)
    (found,) = publications(own_lake, stock_high_low)
    old = {name: value for name, value in found.certificate.items() if name not in ("partial", "kafka_end_at")}
    assert replace(found, certificate=old).partial == []
    assert Certificate.from_json(old).partial == []


PARTIAL_1, COMPLETE_1 = ("partial 1", 1, ["missing"]), ("complete 1", 1, [])
PARTIAL_2, COMPLETE_2 = ("partial 2", 2, ["missing"]), ("complete 2", 2, [])
MORE, COMPLETE_1_MORE = ("partial 1 more", 1, ["missing"], 4), ("complete 1 more", 1, [], 4)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (PARTIAL_1, COMPLETE_1, COMPLETE_1),
        (COMPLETE_1, PARTIAL_1, COMPLETE_1),
        (PARTIAL_1, COMPLETE_2, COMPLETE_2),
        (COMPLETE_2, PARTIAL_1, COMPLETE_2),
        (COMPLETE_1, PARTIAL_2, COMPLETE_1),  # both read as much, and one has proven that this is all
        (PARTIAL_2, COMPLETE_1, COMPLETE_1),
        (COMPLETE_1, MORE, COMPLETE_1),  # what it lacks is pending late
        (MORE, COMPLETE_1, COMPLETE_1),  # as of an archive that had rows twice
        (MORE, COMPLETE_2, COMPLETE_2),
        (MORE, PARTIAL_2, MORE),
        (COMPLETE_1, COMPLETE_1_MORE, COMPLETE_1_MORE),
        (COMPLETE_1_MORE, COMPLETE_2, COMPLETE_1_MORE),
        (PARTIAL_1, PARTIAL_2, PARTIAL_2),
        (PARTIAL_2, PARTIAL_1, PARTIAL_2),
    ],
    ids=lambda run: run[0].replace(" ", "-"),
)
def test_who_is_complete_is_served_then_who_read_more_then_who_read_the_newer_archive(
    own_lake: Environment, first: tuple, second: tuple, winner: tuple
) -> None:
    for run, raw_version, partial, *rows_read in (first, second):
        publish_run(own_lake, 0, run, raw_version, partial=partial, rows_read=rows_read[0] if rows_read else 3)
    assert served(own_lake) == {interval(0).id: winner[0]}


@pytest.mark.parametrize("order", list(itertools.permutations([MORE, COMPLETE_1, PARTIAL_2, COMPLETE_2]))[::5])
def test_whatever_the_order_the_complete_run_of_the_newest_archive_is_served(
    own_lake: Environment, order: tuple
) -> None:
    for run, raw_version, partial, *rows_read in order:
        publish_run(own_lake, 0, run, raw_version, partial=partial, rows_read=rows_read[0] if rows_read else 3)
    assert served(own_lake) == {interval(0).id: "complete 2"}


def test_many_runs_of_one_interval_at_once_end_in_the_one_that_read_the_newest_archive(own_lake: Environment) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: publish_run(own_lake, 0, f"r{n}", raw_version=n), range(8)))
    assert served(own_lake) == {interval(0).id: "r7"}


def test_versions_published_at_once_end_in_the_newest_run_of_each(own_lake: Environment) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: publish_run(own_lake, 0, f"r{n}", n, version=f"v{n % 2}"), range(8)))
    assert (published(own_lake, "v0"), published(own_lake, "v1")) == ({interval(0).id: "r6"}, {interval(0).id: "r7"})


def test_many_intervals_published_at_once_are_all_served(own_lake: Environment) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda n: publish_run(own_lake, n, f"r{n}", raw_version=1), range(6)))
    assert served(own_lake) == {interval(n).id: f"r{n}" for n in range(6)}
