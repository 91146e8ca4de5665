"""What the guides say is paid by the hour, against what is deployed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from millrace.azure.costs import Paid, paid
from millrace.home import PROJECT_ROOT
from tests.infra.deployments import Case, resources

ROWS = {
    "kafka headnode": "Kafka: head nodes",
    "kafka workernode": "Kafka: workers",
    "kafka workernode's disks": "Kafka: managed disks of 1 TB",
    "kafka zookeepernode": "Kafka: ZooKeeper nodes",
    "spark headnode": "Spark: head nodes",
    "spark workernode": "Spark: workers",
    "spark zookeepernode": "Spark: ZooKeeper nodes",
    "Event Hubs": "in place of Kafka's rows, *Kafka* at *eventhubs*",
}
"""The row of a guide's table, by what is paid."""


def table(guide: str, first: str) -> dict[str, dict[str, str]]:
    """The cells by row and column of the table of a guide whose heading's first cell is `first`."""
    lines = (PROJECT_ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line[:1] == "|" and line.split("|")[1].strip() == first)
    end = next(number for number, line in enumerate(lines[begin:], begin) if not line.startswith("|"))
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin:end])
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def column(guide: str, size: str) -> dict[str, str]:
    """What is paid of a size, by row."""
    return {row: cells[size] for row, cells in table(guide, "").items()}


def row_of(one: Paid) -> str:
    """Without the name of a cluster: `kafka-mr-dev-5qpidk headnode` is `kafka headnode`."""
    if one.what.startswith("Event Hubs"):
        return ROWS["Event Hubs"]
    name, _, role = one.what.partition(" ")
    return ROWS[f"{name.partition('-')[0]} {role}"]


@pytest.mark.parametrize("size", ["dev", "prod"])
@pytest.mark.parametrize("layout", ["hdinsight", "databricks"])
@pytest.mark.parametrize("kafka", ["cluster", "eventhubs"])
def test_a_guide_counts_what_is_paid_by_the_hour(layout: str, kafka: str, size: str) -> None:
    told = column(layout, size)
    every = paid(resources(Case(layout, kafka, size, full=False)))
    gateways = [one for one in every if one.what.startswith("NAT gateway")]
    counted = [one for one in every if one not in gateways]
    assert counted
    for one in counted:
        cell = told[row_of(one)].lower()
        if one.count != int(one.count):
            assert f"average {one.count:.3g})" in cell
            assert cell.startswith(one.unit.lower())
        else:
            assert cell == (f"{one.count:.0f}" if one.unit == "1 TB" else f"{one.count:.0f} {one.unit}".lower())
    gateway = told["NAT gateway"]
    assert (gateway.rpartition(" ")[2] if kafka == "eventhubs" else gateway[0]) == str(len(gateways))


@pytest.mark.parametrize("size", ["dev", "prod"])
def test_the_guide_counts_what_interactive_query_adds(size: str) -> None:
    every = paid(resources(Case("hdinsight", "cluster", size, full=True)))
    query = {one.what.partition(" ")[2]: one for one in every if one.what.startswith("query-")}
    head, worker, zookeeper = (query[role] for role in ("headnode", "workernode", "zookeepernode"))
    assert (head.unit, head.count, zookeeper.count) == (worker.unit, 2, 3)
    workers = f"{worker.count:.0f} worker{'s' if worker.count > 1 else ''}"
    told = column("hdinsight", size)["more, with `interactiveQuery`"]
    assert told == f"2 head nodes and {workers} {head.unit}, 3 {zookeeper.unit}"


def an_hour(every: Iterable[Paid]) -> float:
    """In US dollars, by the guide's own prices."""
    prices = {name.lower(): float(cells["US dollars"]) for name, cells in table("hdinsight", "an hour of").items()}
    named = {"1 TB": "managed disk of 1 TB", "gateway": "NAT gateway"}
    return round(sum(prices[named.get(one.unit, one.unit).lower()] * one.count for one in every), 1)


@pytest.mark.parametrize("size", ["dev", "prod"])
@pytest.mark.parametrize("layout", ["hdinsight", "databricks"])
def test_a_guide_sums_what_an_hour_costs(layout: str, size: str) -> None:
    first = (
        "an hour of all, as long as it exists"
        if layout == "hdinsight"
        else "an hour of all but Databricks, as long as it exists"
    )
    told = {row: float(cells[size]) for row, cells in table(layout, first).items()}
    sums = {
        f"with {name}": an_hour(paid(resources(Case(layout, kafka, size, full=False))))
        for kafka, name in (("cluster", "Kafka's cluster"), ("eventhubs", "Event Hubs"))
    }
    if layout == "hdinsight":
        every = paid(resources(Case(layout, "cluster", size, full=True)))
        sums["more, with `interactiveQuery`"] = an_hour(one for one in every if one.what.startswith("query-"))
    assert told == sums
