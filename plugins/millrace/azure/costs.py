"""What the nodes of clusters cost per month, by Microsoft's public price list: what is paid even when nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.azure.arm import Resource
from millrace.azure.standing import CLUSTERS

__all__ = ["Nodes", "estimate", "nodes"]

HOURS = 730  # of a month, as Azure's own calculator counts
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK_H = 168
# https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
_PRICES = "https://prices.azure.com/api/retail/prices"
_TIMEOUT_S = 20
_LEFT_OUT = (
    "Not in it: HDInsight's charge per core, disks, storage, the NAT gateway, traffic, logs, Event Hubs, Synapse, and "
    "Databricks, whose DBUs depend on what runs."
)


@dataclass(frozen=True)
class Nodes:
    """Virtual machines of one role of a cluster; `count` is an average over the week where a schedule changes it."""

    cluster: str
    role: str
    size: str
    count: float


def nodes(resources: Iterable[Resource]) -> list[Nodes]:
    """The nodes of every HDInsight cluster among `resources`."""
    return [
        Nodes(cluster.name, role["name"], _sku(role["hardwareProfile"]["vmSize"]), _count(role))
        for cluster in resources
        if cluster.type == CLUSTERS
        for role in cluster.body["properties"]["computeProfile"]["roles"]
    ]


def estimate(found: Iterable[Nodes], region: str) -> str:
    """A line per role and the sum, in US dollars at list prices; what has no price is said, and so is what is left out.

    Never raises for a price list that does not answer: nobody should be unable to deploy because of it.
    """
    every = list(found)
    if not every:
        return f"No cluster's nodes in it. {_LEFT_OUT}"
    try:
        prices = {size: _hourly(size, region) for size in {one.size for one in every}}
    except (OSError, ValueError, KeyError) as error:
        return "\n".join([*_counts(every), f"{_PRICES} does not answer ({error}): no estimate."])
    return "\n".join(_lines(every, prices))


def _lines(every: list[Nodes], prices: Mapping[str, float | None]) -> Iterator[str]:
    total = 0.0
    for one in every:
        price = prices[one.size]
        cost = None if price is None else price * one.count * HOURS
        total += cost or 0.0
        shown = "no price in this region" if cost is None else f"{cost:,.0f} USD"
        yield f"{one.cluster} {one.role}: {one.count:.3g} x {one.size}: {shown}"
    yield f"about {total:,.0f} USD a month for nodes, at the list price of virtual machines. {_LEFT_OUT}"


def _counts(every: list[Nodes]) -> Iterator[str]:
    return (f"{one.cluster} {one.role}: {one.count:.3g} x {one.size}" for one in every)


def _hourly(size: str, region: str) -> float | None:
    """The list price of an hour of a Linux machine, pay as you go; None where the region has none."""
    import httpx

    wanted = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
    asked = {"$filter": f"{wanted} and armSkuName eq '{size}'"}
    try:
        answer = httpx.get(_PRICES, params=asked, timeout=_TIMEOUT_S).raise_for_status().json()
    except httpx.HTTPError as error:
        raise OSError(str(error)) from error
    return min((float(item["retailPrice"]) for item in answer["Items"] if _is_plain(item)), default=None)


def _is_plain(item: Mapping[str, Any]) -> bool:
    """No Windows licence, and no machine that Azure may take back."""
    return "Windows" not in item["productName"] and not any(
        word in item["meterName"] for word in ("Spot", "Low Priority")
    )


def _sku(size: str) -> str:
    """As the price list spells it: `Standard_E4_v3`."""
    return size.replace("_V", "_v")


def _count(role: Mapping[str, Any]) -> float:
    turns = role.get("autoscale", {}).get("recurrence", {}).get("schedule")
    if not turns:
        return float(role["targetInstanceCount"])
    starts = sorted((hour, count) for turn in turns for hour, count in _starts(turn))
    ends = [*(hour for hour, _ in starts[1:]), starts[0][0] + _WEEK_H]
    return sum((end - hour) * count for (hour, count), end in zip(starts, ends, strict=True)) / _WEEK_H


def _starts(turn: Mapping[str, Any]) -> Iterator[tuple[float, int]]:
    """The hours of the week, from Monday, at which a turn of an autoscale schedule begins, and its workers."""
    hours, _, minutes = turn["timeAndCapacity"]["time"].partition(":")
    for day in turn["days"]:
        yield _DAYS.index(day) * 24 + int(hours) + int(minutes) / 60, turn["timeAndCapacity"]["minInstanceCount"]
