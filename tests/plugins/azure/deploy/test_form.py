"""What the form of `provision` becomes, and the wait for peered networks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.errors import MillraceError, UsageError
from millrace.azure.environments import Environments
from millrace.azure.hook import ResourceManagerHook
from millrace.tasks.azure import are_connected, declare
from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import B, finished

FORM = {
    "size": "dev",
    "layout": "hdinsight",
    "kafka": "cluster",
    "region": "northeurope",
    "prefix": "mr",
    "operator_principal_id": "77777777-2222-3333-4444-555555555555",
    "ssh_public_key": "ssh-ed25519 AAAA",
    "clients": [],
    "parameters": {"synapse": True, "clients": ["203.0.113.7/32"]},
}


def test_the_form_becomes_parameters_that_stay_the_same_all_year() -> None:
    summer = declare(FORM, datetime(2026, 7, 1, tzinfo=UTC))
    assert summer["secretsExpire"] == datetime(2028, 1, 1, tzinfo=UTC).timestamp()
    assert (summer["layout"], summer["synapse"], summer["clients"]) == ("hdinsight", True, ["203.0.113.7/32"])
    assert declare(FORM, datetime(2026, 12, 31, 23, tzinfo=UTC)) == summer


def test_what_azure_needs_and_the_form_lacks_is_named() -> None:
    with pytest.raises(UsageError, match="needs region, ssh_public_key; fill in"):
        declare({**FORM, "region": None, "ssh_public_key": ""}, datetime(2026, 7, 1, tzinfo=UTC))


def test_peered_networks_are_connected_once_both_sides_say_so(azure: Azure) -> None:
    peerings = finished(B)["peerings"]
    environments = Environments(ResourceManagerHook())
    looks = [are_connected(peerings, environments) for _ in range(3)]
    assert looks == [False, False, True]


def test_a_peering_with_one_side_never_connects_and_one_that_is_gone_is_told(azure: Azure) -> None:
    first, second = finished(B)["peerings"]
    environments = Environments(ResourceManagerHook())
    azure.manager.resources.delete(second)
    assert not any(are_connected([first], environments) for _ in range(5))
    with pytest.raises(MillraceError, match="is not there; delete what is left of it on both sides"):
        are_connected([first, second], environments)
