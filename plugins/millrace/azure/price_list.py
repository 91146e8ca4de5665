"""Microsoft's public price list: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HOURS", "PRICES", "Meter", "PriceList", "disk", "machine", "node"]

PRICES = "https://prices.azure.com/api/retail/prices"
HOURS = 730
"""Of a month, as Azure's own calculator counts."""

_TIMEOUT_S = 20
_UNITS = {"1 Hour": 1.0, "1/Hour": 1.0, "1/Month": 1.0 / HOURS}
_GLOBAL = ("Global", "")
_NUMBER_LAST = re.compile(r"(_[A-Z]+)(\d+)_(v\d)$")
_PREMIUM = re.compile(r"Standard_([DG]S\d|[A-Z]+\d+[a-z]*s)")


@dataclass(frozen=True)
class Meter:
    """What the list calls a thing that is paid by the hour or month: of a service, the items whose `field` is `name`.

    `is_global`: the list may have one price for all regions, as for much of the network. `is_size`: `name` is a size of
    machines, which the list spells in ways of its own.
    """

    service: str
    field: str
    name: str
    is_global: bool = False
    is_size: bool = False


def machine(size: str) -> Meter:
    """A virtual machine of a size such as `Standard_E4_v3`; templates may write `Standard_E4_V3`."""
    return Meter("Virtual Machines", "armSkuName", size.replace("_V", "_v"))


def node(size: str) -> Meter:
    """A node of an HDInsight cluster: its machine, and what HDInsight charges for its cores."""
    return Meter("HDInsight", "armSkuName", size.replace("_V", "_v"), is_size=True)


def disk(size: str) -> Meter:
    """A managed disk of 1 TB of a Kafka node of this size: HDInsight takes premium ones where the machine can.

    https://learn.microsoft.com/azure/hdinsight/kafka/apache-kafka-scalability
    """
    kind = "P30" if _PREMIUM.match(size) else "S30"
    return Meter("HDInsight", "meterName", f"{kind} Disk")


class PriceList:
    """The list's prices in a region. What it is asked for is asked once."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._answers: dict[str, list[Mapping[str, Any]]] = {}

    def hourly(self, meter: Meter) -> float | None:
        """The list price of an hour in US dollars, pay as you go, of a Linux machine where it is one; None where there
        is none. Raises OSError where the list does not answer, ValueError or KeyError for an answer of another form.
        """
        found = [item for item in self._items(meter) if _is_plain(item) and _is_of(meter, item)]
        own = [item for item in found if item["armRegionName"] == self._region]
        usable = own or [item for item in found if item["armRegionName"] in _GLOBAL]
        return min((float(item["retailPrice"]) * _UNITS[item["unitOfMeasure"]] for item in usable), default=None)

    def _items(self, meter: Meter) -> list[Mapping[str, Any]]:
        wanted = f"serviceName eq '{meter.service}' and priceType eq 'Consumption'"
        if not meter.is_size:
            wanted += f" and {meter.field} eq '{meter.name}'"
        if not meter.is_global:
            wanted += f" and armRegionName eq '{self._region}'"
        if wanted not in self._answers:
            self._answers[wanted] = list(_pages(wanted))
        return self._answers[wanted]


def _pages(wanted: str) -> Iterator[Mapping[str, Any]]:
    import httpx

    page = str(httpx.URL(PRICES, params={"$filter": wanted}))
    while page:
        try:
            answer = httpx.get(page, timeout=_TIMEOUT_S).raise_for_status().json()
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        yield from answer["Items"]
        page = answer["NextPageLink"] or ""


def _is_of(meter: Meter, item: Mapping[str, Any]) -> bool:
    """`Standard_D3_v2` is spelled so by HDInsight, as `Standard_Dv23`, or with a blank, and in either case."""
    if not meter.is_size:
        return True
    spelled = {meter.name, _NUMBER_LAST.sub(r"\1\3\2", meter.name)}
    return _letters(item[meter.field]) in {_letters(each) for each in spelled}


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def _is_plain(item: Mapping[str, Any]) -> bool:
    """By the hour or month from the first one; no Windows licence, and no machine that Azure may take back."""
    return (
        item["unitOfMeasure"] in _UNITS
        and item["tierMinimumUnits"] == 0
        and "Windows" not in item["productName"]
        and not any(word in item["meterName"] for word in ("Spot", "Low Priority"))
    )
