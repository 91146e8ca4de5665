"""Microsoft's public price list, in the form that its documentation shows; there is no OpenAPI definition of it."""

from __future__ import annotations

import re

from tests.azure_control_plane.exchange import Answer, Request

__all__ = ["PRICES", "price_list"]

PRICES = "prices.azure.com"
# US dollars per hour, made up. One size has no price, as happens in some regions.
_HOURLY = {"Standard_E4_v3": 0.25, "Standard_E8_v3": 0.5, "Standard_A2_v2": 0.1}


def price_list(request: Request) -> Answer:
    """Each size with what must not be taken for it: a Windows machine, and ones that Azure may take back."""
    size = re.search(r"armSkuName eq '([^']+)'", request.query["$filter"])
    assert size
    price = _HOURLY.get(size[1])
    product, name = "Virtual Machines Ev3 Series", size[1].removeprefix("Standard_").replace("_", " ")
    items = [
        {"productName": product, "meterName": name, "retailPrice": price},
        {"productName": f"{product} Windows", "meterName": name, "retailPrice": 0.05},
        {"productName": product, "meterName": f"{name} Spot", "retailPrice": 0.01},
        {"productName": product, "meterName": f"{name} Low Priority", "retailPrice": 0.02},
    ]
    return Answer(200, {"BillingCurrency": "USD", "Items": items if price else [], "NextPageLink": None})
