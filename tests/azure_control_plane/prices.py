"""Microsoft's public price list, in the form that its documentation shows; there is no OpenAPI definition of it.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from tests.azure_control_plane.exchange import Answer, Request

__all__ = ["PRICES", "price_list"]

PRICES = "prices.azure.com"
# US dollars per hour, made up. One size has no price, as happens in some regions.
_HOURLY = {"Standard_E4_v3": 0.25, "Standard_E8_v3": 0.5, "Standard_A2_v2": 0.1, "Standard_D4ds_v5": 0.226}
# HDInsight's own, of a node with its machine, by the ways in which the list spells sizes; disks by the month.
_NODES = {"Standard_E4_V3": 0.31, "Standard_E8 v3": 0.62, "standard_Av22": 0.12, "Standard_E4s_V3": 0.01}
_DISKS = {"S30": 40.96, "P30": 135.17, "S20": 21.0}
_PAGE = 3
_CLAUSE = re.compile(r"(\w+) eq '([^']*)'")
# What is filtered by, where it is not called as in the answer.
_FIELDS = {"priceType": "type"}


def price_list(request: Request) -> Answer:
    """The items that the filter lets through: `and` of equalities, which tell upper from lower case."""
    wanted = {_FIELDS.get(name, name): value for name, value in _CLAUSE.findall(request.query["$filter"])}
    found = [item for item in _everything() if all(item[name] == value for name, value in wanted.items())]
    begin = int(request.query.get("$skip", "0"))
    page, more = found[begin : begin + _PAGE], {"$filter": request.query["$filter"], "$skip": str(begin + _PAGE)}
    following = f"https://{PRICES}/api/retail/prices?{urlencode(more)}" if found[begin + _PAGE :] else None
    told = {"BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail"}
    return Answer(200, {**told, "Items": page, "NextPageLink": following, "Count": len(page)})


def _everything() -> Iterator[dict[str, Any]]:
    """Each thing with what must not be taken for it."""
    for size, price in _HOURLY.items():
        yield from _machines(size, price)
    for size, price in _NODES.items():
        for region, factor in (("northeurope", 1), ("westus", 0.5)):
            yield _item("HDInsight", price * factor, armSkuName=size, meterName=size, armRegionName=region)
    for kind, price in _DISKS.items():
        yield _item("HDInsight", price, skuName=kind, meterName=f"{kind} Disk", unitOfMeasure="1/Month")
    for sku, thing, price in (
        ("Basic", "Throughput", 0.015),
        ("Standard", "Throughput", 0.03),
        ("Premium", "Processing", 1.2),
    ):
        yield _item("Event Hubs", price, productName="Event Hubs", skuName=sku, meterName=f"{sku} {thing} Unit")
    yield _item("Event Hubs", 0.028, skuName="Standard", meterName="Standard Ingress Events", unitOfMeasure="1M")
    for region, price in (("Global", 0.045), ("US Gov", 0.01)):
        nat = {"skuName": "Standard", "armRegionName": region, "productName": "NAT Gateway"}
        yield _item("NAT Gateway", price, meterName="Standard Gateway", **nat)
        yield _item("NAT Gateway", price, meterName="Standard Data Processed", unitOfMeasure="1 GB", **nat)


def _machines(size: str, price: float) -> Iterator[dict[str, Any]]:
    """A Windows machine, ones that Azure may take back, another region's, one that is reserved for a year."""
    product, name = "Virtual Machines Series", size.removeprefix("Standard_").replace("_", " ")
    same = {"armSkuName": size, "skuName": name, "meterName": name, "productName": product}
    yield _item("Virtual Machines", price, **same)
    yield _item("Virtual Machines", 0.05, **same | {"productName": f"{product} Windows"})
    yield _item("Virtual Machines", 0.01, **same | {"meterName": f"{name} Spot"})
    yield _item("Virtual Machines", 0.02, **same | {"meterName": f"{name} Low Priority"})
    yield _item("Virtual Machines", 0.03, **same | {"armRegionName": "westus"})
    yield _item("Virtual Machines", 900.0, **same | {"type": "Reservation"})


def _item(service: str, price: float, **own: str) -> dict[str, Any]:
    names = {"serviceName": service, "productName": service, "armRegionName": "northeurope", "armSkuName": ""}
    meter = {"unitOfMeasure": "1 Hour", "type": "Consumption", "tierMinimumUnits": 0.0, "isPrimaryMeterRegion": True}
    return {"currencyCode": "USD", "retailPrice": price, "unitPrice": price, **names, **meter, **own}
