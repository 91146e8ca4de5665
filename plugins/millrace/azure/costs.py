"""What a deployment costs per hour and month, by Microsoft's public price list: what is paid even when nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millrace.azure.arm import Resource
from millrace.azure.price_list import PRICES, Meter, hourly, machine
from millrace.azure.standing import CLUSTERS

if TYPE_CHECKING:
    from millrace.azure.clusters import Cluster

__all__ = ["Paid", "estimate", "paid", "workers"]

HOURS = 730  # of a month, as Azure's own calculator counts
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK_H = 168
_NAT = Meter("NAT Gateway", "meterName", "Standard Gateway", is_global=True)
_UNITS = {"Standard": "Standard Throughput Unit", "Premium": "Premium Processing Unit"}
# How the list names HDInsight's own meters is documented nowhere.
_LEFT_OUT = (
    "Not in it: HDInsight's charge per core, Databricks' units (DBU) and pools, disks, storage, traffic, logs,"
    " addresses, Synapse, and what Event Hubs charges per event and for its Kafka endpoint."
)


@dataclass(frozen=True)
class Paid:
    """`count` of a thing that is paid by the hour; an average over the week where a schedule changes it."""

    what: str
    count: float
    unit: str
    meter: Meter


def paid(resources: Iterable[Resource]) -> list[Paid]:
    """What is paid by the hour among `resources`: nodes of HDInsight's clusters, NAT gateways, Event Hubs' units."""
    return [one for resource in resources for one in _of(resource)]


def workers(cluster: Cluster, count: int, when: str) -> Paid:
    """So many workers of an HDInsight cluster that exists; `when` says which of several choices that is."""
    meter = machine(cluster.worker_size)
    return Paid(f"{when}: {cluster.name} workernode", count, meter.name, meter)


def estimate(found: Iterable[Paid], region: str, *, is_choice: bool = False) -> str:
    """A line per item and the sum, in US dollars at list prices; what has no price is said, and so is what is left out.
    Of a choice, one item of which is paid, there is no sum.

    Never raises for a price list that does not answer: nobody should be unable to deploy because of it.
    """
    every = list(found)
    if not every:
        return f"Nothing in it is paid by the hour. {_LEFT_OUT}"
    try:
        prices = {meter: hourly(meter, region) for meter in {one.meter for one in every}}
    except (OSError, ValueError, KeyError) as error:
        return "\n".join([*map(_counted, every), f"{PRICES} does not answer ({error}): no estimate."])
    return "\n".join([*_lines(every, prices), *_sum(every, prices, is_choice)])


def _of(resource: Resource) -> Iterator[Paid]:
    if resource.type == CLUSTERS:
        for role in resource.body["properties"]["computeProfile"]["roles"]:
            meter = machine(role["hardwareProfile"]["vmSize"])
            yield Paid(f"{resource.name} {role['name']}", _count(role), meter.name, meter)
    elif resource.type == "Microsoft.Network/natGateways":
        yield Paid(f"NAT gateway {resource.name}", 1, "gateway", _NAT)
    elif resource.type == "Microsoft.EventHub/namespaces":
        sku = resource.body["sku"]
        unit = _UNITS[sku["name"]]
        yield Paid(f"Event Hubs {resource.name}", sku["capacity"], unit, Meter("Event Hubs", "meterName", unit))


def _lines(every: list[Paid], prices: Mapping[Meter, float | None]) -> Iterator[str]:
    for one in every:
        price = prices[one.meter]
        yield f"{_counted(one)}: {'no price in this region' if price is None else _amounts(price * one.count)}"


def _sum(every: list[Paid], prices: Mapping[Meter, float | None], is_choice: bool) -> Iterator[str]:
    known = [price * one.count for one in every if (price := prices[one.meter]) is not None]
    about = "about" if len(known) == len(every) else "at least"
    total = "" if is_choice else f"{about} {_amounts(sum(known))}, "
    yield f"{total}at list prices. {_LEFT_OUT}"


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
