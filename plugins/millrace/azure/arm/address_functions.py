"""Functions of address ranges: cidrSubnet and parseCidr.

https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions-cidr
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from millrace.azure.arm.errors import TemplateError

__all__ = ["ADDRESS_FUNCTIONS"]


def _cidr_subnet(network: str, prefix_length: int, index: int) -> str:
    found = next(islice(ipaddress.ip_network(network).subnets(new_prefix=prefix_length), index, None), None)
    if found is None:
        raise TemplateError(
            f"cidrSubnet({network!r}, {prefix_length}, {index}): the range has no so many subnets; widen it"
        )
    return str(found)


def _parse_cidr(network: str) -> dict[str, Any]:
    parsed = ipaddress.ip_network(network)
    return {
        "network": str(parsed.network_address),
        "netmask": str(parsed.netmask),
        "broadcast": str(parsed.broadcast_address),
        "cidr": parsed.prefixlen,
    }


ADDRESS_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"cidrsubnet": _cidr_subnet, "parsecidr": _parse_cidr}
