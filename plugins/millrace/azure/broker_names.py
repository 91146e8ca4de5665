"""Kafka's brokers as records of a private DNS zone, by which a peered network resolves their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.errors import MillraceError
from millrace.azure.ambari import Broker

__all__ = ["broker_records"]


def broker_records(brokers: Sequence[Broker]) -> dict[str, Any]:
    """main.json's `brokerZone` and `brokers`. Raises MillraceError for names that are not all of one domain.

    A zone holds the names of one cluster's network alone: no other name in `internal.cloudapp.net` is hidden by it.
    https://learn.microsoft.com/azure/dns/private-dns-privatednszone
    """
    parts = [broker.host.partition(".") for broker in brokers]
    zones = sorted({zone for _, _, zone in parts})
    if len(zones) != 1 or not zones[0]:
        hosts = ", ".join(broker.host for broker in brokers) or "no broker"
        raise MillraceError(
            f"Ambari's brokers are {hosts}; a private DNS zone needs names of one domain; provision with brokers"
            " 'addresses'"
        )
    records = [{"name": name, "address": broker.address} for broker, (name, _, _) in zip(brokers, parts, strict=True)]
    return {"brokerZone": zones[0], "brokers": records}
