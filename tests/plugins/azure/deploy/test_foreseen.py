"""What Azure foresees where nothing would change: changes that are none, and what it cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.azure.foreseen import changed, foreseen
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import Answer
from tests.plugins.azure.deploy.tries import finished, previewing, try_once

NETWORK = "/subscriptions/s/resourceGroups/mr-dev/providers/Microsoft.Network/virtualNetworks/mr-dev"
NO_EFFECT = {"path": "properties.provisioningState", "propertyChangeType": "NoEffect", "after": "Succeeded"}
TAGGED = {"path": "tags.own", "propertyChangeType": "Delete", "before": "kept by hand"}


def modified(*delta: dict[str, Any]) -> dict[str, Any]:
    return {"resourceId": NETWORK, "changeType": "Modify", "before": {}, "after": {}, "delta": list(delta)}


def within(*children: dict[str, Any]) -> dict[str, Any]:
    return {"path": "properties.subnets", "propertyChangeType": "Array", "children": list(children)}


def told(*changes: dict[str, Any]) -> Answer:
    """A what-if that has ended at once."""
    return Answer(200, {"status": "Succeeded", "properties": {"changes": list(changes)}})


@pytest.mark.parametrize("delta", [[NO_EFFECT], [NO_EFFECT, within(NO_EFFECT)]], ids=["flat", "in an array"])
def test_properties_without_effect_are_no_change(delta: list[dict[str, Any]]) -> None:
    assert changed([modified(*delta)]) == []
    assert foreseen([modified(*delta)]) == "foreseen: 1 NoChange"


@pytest.mark.parametrize("delta", [[NO_EFFECT, TAGGED], [within(NO_EFFECT, TAGGED)], []])
def test_one_property_with_effect_is_a_change_and_so_are_properties_that_are_not_told(
    delta: list[dict[str, Any]],
) -> None:
    assert changed([modified(*delta)]) == [modified(*delta)]


def test_a_deployment_whose_changes_have_no_effect_is_left_as_it_is(azure: Azure) -> None:
    outputs = finished()
    azure.faults.answer("POST", "/whatIf$", *[told(modified(NO_EFFECT))] * 2)
    assert try_once(previewing())["changes"] == 0
    assert finished() == outputs
    assert (azure.faults.happened, azure.asked("PUT", "/deployments/")) == (2, 1)


def test_what_azure_cannot_foresee_is_deployed_again_and_leaves_clusters_alone(azure: Azure) -> None:
    outputs = finished()
    before = {key: stored.resource.body for key, stored in azure.manager.resources.known.items()}
    azure.manager.created.clear()
    reason = "Its properties come from reference(), which is not resolved."
    azure.faults.answer(
        "POST",
        "/whatIf$",
        told({"resourceId": NETWORK, "changeType": "Unsupported", "unsupportedReason": reason}),
    )
    assert finished() == outputs
    assert (azure.faults.happened, azure.asked("PUT", "/deployments/")) == (1, 2)
    assert not [one for one in azure.manager.created if one.type == "Microsoft.HDInsight/clusters"]
    assert {key: stored.resource.body for key, stored in azure.manager.resources.known.items()} == before
