"""What a deployment costs per hour and month, by Microsoft's public price list: what is paid even when nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millrace.azure.arm import Resource
from millrace.azure.price_list import HOURS, PRICES, Meter, PriceList, disk, machine, node
from millrace.azure.standing import CLUSTERS

if TYPE_CHECKING:
    from millrace.azure.clusters import Cluster

__all__ = ["Paid", "estimate", "paid", "workers"]

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK_H = 168
_NAT = Meter("NAT Gateway", "meterName", "Standard Gateway", is_global=True)
_UNITS = {"Standard": "Standard Throughput Unit", "Premium": "Premium Processing Unit"}
_LEFT_OUT = (
    "Not in it: Databricks' units (DBU), pools and disks, storage, traffic, logs, addresses, Synapse, and what Event"
    " Hubs charges per event and for its Kafka endpoint."
)


@dataclass(frozen=True)
class Paid:
    """`count` of a thing that is paid by the hour; an average over the week where a schedule changes it.

    `within`: what is a part of it, and paid in any case, where the list has no price of the whole.
    """

    what: str
    count: float
    unit: str
    meter: Meter
    within: Meter | None = None


def paid(resources: Iterable[Resource]) -> list[Paid]:
    """What is paid by the hour among `resources`: nodes and disks of HDInsight's clusters, NAT gateways, Event Hubs'
    units."""
    return [one for resource in resources for one in _of(resource)]


def workers(cluster: Cluster, count: int, when: str) -> Paid:
    """So many workers of an HDInsight cluster that exists; `when` says which of several choices that is."""
    return _nodes(f"{when}: {cluster.name} workernode", count, cluster.worker_size)


def estimate(found: Iterable[Paid], region: str, *, is_choice: bool = False) -> str:
    """A line per item and the sum, in US dollars at list prices; what has no price is said, and so is what is left out.
    Of a choice, one item of which is paid, there is no sum.

    Never raises for a price list that does not answer: nobody should be unable to deploy because of it.
    """
    every = list(found)
    if not every:
        return f"Nothing in it is paid by the hour. {_LEFT_OUT}"
    try:
        meters = {meter for one in every for meter in (one.meter, one.within) if meter}
        listed = PriceList(region)
        prices = {meter: listed.hourly(meter) for meter in meters}
    except (OSError, ValueError, KeyError) as error:
        return "\n".join([*map(_counted, every), f"{PRICES} does not answer ({error}): no estimate."])
    return "\n".join([*_lines(every, prices), *_sum(every, prices, is_choice)])


def _of(resource: Resource) -> Iterator[Paid]:
    if resource.type == CLUSTERS:
        for role in resource.body["properties"]["computeProfile"]["roles"]:
            size, what = role["hardwareProfile"]["vmSize"], f"{resource.name} {role['name']}"
            yield _nodes(what, _count(role), size)
            for group in role.get("dataDisksGroups") or ():
                yield Paid(f"{what}'s disks", _count(role) * group["disksPerNode"], "1 TB", disk(size))
    elif resource.type == "Microsoft.Network/natGateways":
        yield Paid(f"NAT gateway {resource.name}", 1, "gateway", _NAT)
    elif resource.type == "Microsoft.EventHub/namespaces":
        sku = resource.body["sku"]
        unit = _UNITS[sku["name"]]
        yield Paid(f"Event Hubs {resource.name}", sku["capacity"], unit, Meter("Event Hubs", "meterName", unit))


def _nodes(what: str, count: float, size: str) -> Paid:
    return Paid(what, count, machine(size).name, node(size), within=machine(size))


def _lines(every: list[Paid], prices: Mapping[Meter, float | None]) -> Iterator[str]:
    for one in every:
        price, is_whole = _price(one, prices)
        told = "no price in this region" if price is None else _amounts(price * one.count)
        yield f"{_counted(one)}: {told}{'' if is_whole else ', for the machine alone'}"


def _price(one: Paid, prices: Mapping[Meter, float | None]) -> tuple[float | None, bool]:
    """Of an hour, and whether it is the whole of it."""
    price = prices[one.meter]
    if price is not None or one.within is None or prices[one.within] is None:
        return price, True
    return prices[one.within], False


def _sum(every: list[Paid], prices: Mapping[Meter, float | None], is_choice: bool) -> Iterator[str]:
    found = [(_price(one, prices), one.count) for one in every]
    known = [price * count for (price, _), count in found if price is not None]
    is_all = len(known) == len(every) and all(is_whole for (_, is_whole), _ in found)
    total = "" if is_choice else f"{'about' if is_all else 'at least'} {_amounts(sum(known))}, "
    yield f"{total}at list prices. {_LEFT_OUT}{' Nor the disks of brokers.' if is_choice else ''}"


def _amounts(an_hour: float) -> str:
    return f"{an_hour:,.2f} USD an hour, {an_hour * HOURS:,.0f} USD a month"


def _counted(one: Paid) -> str:
    return f"{one.what}: {one.count:.3g} x {one.unit}"


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
