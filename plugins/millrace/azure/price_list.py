"""Microsoft's public price list: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PRICES", "Meter", "hourly", "machine"]

PRICES = "https://prices.azure.com/api/retail/prices"
_TIMEOUT_S = 20
_HOURS = ("1 Hour", "1/Hour")
_GLOBAL = ("Global", "")


@dataclass(frozen=True)
class Meter:
    """What the list calls a thing that is paid by the hour: of a service, the items whose `field` is `name`.

    `is_global`: the list may have one price for all regions, as for much of the network.
    """

    service: str
    field: str
    name: str
    is_global: bool = False


def machine(size: str) -> Meter:
    """A virtual machine of a size such as `Standard_E4_v3`; templates may write `Standard_E4_V3`."""
    return Meter("Virtual Machines", "armSkuName", size.replace("_V", "_v"))


def hourly(meter: Meter, region: str) -> float | None:
    """The list price of an hour in US dollars, pay as you go, of a Linux machine where it is one; None where there is
    none. Raises OSError where the list does not answer, ValueError or KeyError for an answer of another form.
    """
    found = [item for item in _items(meter, region) if _is_plain(item)]
    own = [item for item in found if item["armRegionName"] == region]
    usable = own or [item for item in found if item["armRegionName"] in _GLOBAL]
    return min((float(item["retailPrice"]) for item in usable), default=None)


def _items(meter: Meter, region: str) -> list[Mapping[str, Any]]:
    import httpx

    wanted = f"serviceName eq '{meter.service}' and priceType eq 'Consumption' and {meter.field} eq '{meter.name}'"
    if not meter.is_global:
        wanted += f" and armRegionName eq '{region}'"
    try:
        answer = httpx.get(PRICES, params={"$filter": wanted}, timeout=_TIMEOUT_S).raise_for_status().json()
    except httpx.HTTPError as error:
        raise OSError(str(error)) from error
    return list(answer["Items"])


def _is_plain(item: Mapping[str, Any]) -> bool:
    """By the hour from the first one; no Windows licence, and no machine that Azure may take back."""
    return (
        item["unitOfMeasure"] in _HOURS
        and item["tierMinimumUnits"] == 0
        and "Windows" not in item["productName"]
        and not any(word in item["meterName"] for word in ("Spot", "Low Priority"))
    )
