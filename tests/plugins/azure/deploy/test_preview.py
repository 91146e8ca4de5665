"""What a deployment would change and cost, shown before anything is done."""

from __future__ import annotations

import pytest

from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import PASSWORD, A, resources
from tests.plugins.azure.deploy.tries import finished, previewing, try_once


def test_nothing_is_deployed_and_every_resource_is_named(azure: Azure) -> None:
    shown = try_once(previewing(A))
    assert shown["changes"] == len(resources(A))
    assert "+ resourceGroups/mr-dev/providers/Microsoft.HDInsight/clusters/kafka-mr-dev-" in shown["text"]
    assert azure.manager.created == []
    assert azure.asked("PUT", "") == 0


def test_after_the_deployment_nothing_would_change(azure: Azure) -> None:
    finished(A)
    shown = try_once(previewing(A))
    assert shown["changes"] == 0
    assert "foreseen: " in shown["text"]


def test_a_change_names_the_property_and_not_its_value(azure: Azure) -> None:
    finished(A)
    text = try_once(previewing(A, softDeleteDays=9))["text"]
    assert "~ properties.deleteRetentionPolicy.days" in text
    assert PASSWORD not in text


def test_the_nodes_cost_what_the_price_list_says(azure: Azure) -> None:
    # By hand, at 730 h: E4 costs 0.25, A2 0.10 an hour. Kafka: 2 heads, 3 workers, 3 ZooKeepers. Spark: 2 heads,
    # 3 ZooKeepers, and workers 2 for 60 of 168 h, else 1: 1.357.
    e4, a2 = 2 + 3 + 2 + 228 / 168, 3 + 3
    text = try_once(previewing(A))["text"]
    assert f"about {730 * (e4 * 0.25 + a2 * 0.10):,.0f} USD a month for nodes" in text
    assert "workernode: 1.36 x Standard_E4_v3: 248 USD" in text
    assert "Not in it: HDInsight's charge per core" in text


def test_a_size_without_a_price_and_a_silent_price_list_are_told(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no price in this region" in try_once(previewing(A, sparkHeadSize="Standard_E32_V3"))["text"]
    monkeypatch.setattr("millrace.azure.costs._PRICES", "https://prices.example.org")
    text = try_once(previewing(A))["text"]
    assert "does not answer" in text
    assert "no estimate" in text
