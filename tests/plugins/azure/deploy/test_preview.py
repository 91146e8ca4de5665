"""What a deployment would change and cost, shown before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.azure.databricks_machines import stream_machines
from millrace.azure.price_list import PriceList, disk, node
from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import EVENT_HUBS, PASSWORD, A, resources
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


def test_what_is_paid_by_the_hour_costs_what_the_price_list_says(azure: Azure) -> None:
    # By hand, at 730 h: E4 costs HDInsight's 0.31, A2 0.12, a disk 40.96 a month; a NAT gateway 0.045 an hour. Kafka: 2
    # heads, 3 workers of a disk, 3 ZooKeepers. Spark: 2 heads, 3 ZooKeepers, workers 2 for 60 of 168 h, else 1: 1.357.
    e4, a2 = 2 + 3 + 2 + 228 / 168, 3 + 3
    an_hour = e4 * 0.31 + a2 * 0.12 + 3 * 40.96 / 730 + 0.045
    text = try_once(previewing(A))["text"]
    assert f"about {an_hour:.2f} USD an hour, {730 * an_hour:,.0f} USD a month, at list prices" in text
    assert "workernode: 1.36 x Standard_E4_v3: 0.42 USD an hour, 307 USD a month" in text
    assert "workernode's disks: 3 x 1 TB: 0.17 USD an hour, 123 USD a month" in text
    assert "NAT gateway mr-dev-clusters: 1 x gateway: 0.04 USD an hour, 33 USD a month" in text
    assert "Not in it: Databricks' units (DBU)" in text


@pytest.mark.parametrize(
    ("size", "price"),
    [("Standard_E4_V3", 0.31), ("Standard_E8_V3", 0.62), ("Standard_A2_V2", 0.12), ("Standard_E4s_V3", 0.01)],
)
def test_a_node_is_found_however_the_list_spells_its_size(azure: Azure, size: str, price: float) -> None:
    here, elsewhere = PriceList("northeurope"), PriceList("westus")
    assert here.hourly(node(size)) == price
    assert elsewhere.hourly(node(size)) == price / 2
    assert here.hourly(node("Standard_D3_V2")) is None


@pytest.mark.parametrize(
    ("size", "kind"),
    [("Standard_E4_V3", "S30"), ("Standard_D13_V2", "S30"), ("Standard_E4s_V3", "P30"), ("Standard_DS13_V2", "P30")],
)
def test_brokers_have_premium_disks_where_their_machines_can(size: str, kind: str) -> None:
    assert disk(size).name == f"{kind} Disk"


def test_event_hubs_with_databricks_cost_their_units_the_gateway_and_the_streams_machines(azure: Azure) -> None:
    """By the file that ships, with nothing filled in: a driver and a worker for archive, speed layer and alerts."""
    operator = previewing(EVENT_HUBS)
    operator.environment = "databricks"
    text = try_once(operator)["text"]
    an_hour = 0.03 + 0.045 + 3 * 2 * 0.226
    assert f"about {an_hour:.2f} USD an hour, {730 * an_hour:,.0f} USD a month" in text
    assert "1 x Standard Throughput Unit: 0.03 USD an hour, 22 USD a month" in text
    assert "Databricks speed layers worker: 1 x Standard_D4ds_v5: 0.23 USD an hour, 165 USD a month" in text


def test_databricks_machines_are_those_of_the_environments_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'platform = "databricks"\n[databricks]\nhost = ""\nworkers = 2\ndriver_node_type = "Standard_E4_v3"\n'
    )
    found = {one.what: (one.count, one.unit) for one in stream_machines("own", tmp_path)}
    assert found["Databricks archives driver"] == (1, "Standard_E4_v3")
    assert found["Databricks archives worker"] == (2, "Standard_D4ds_v5")
    assert set(found) == {
        f"Databricks {kind} {role}" for kind in ("archives", "speed layers", "alerts") for role in ("driver", "worker")
    }
    (tmp_path / "pooled.toml").write_text('platform = "databricks"\n[databricks]\npool = "0123"\n')
    assert stream_machines("pooled", tmp_path) == stream_machines("missing", tmp_path) == []


def test_a_size_without_a_price_and_a_silent_price_list_are_told(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    text = try_once(previewing(A, sparkHeadSize="Standard_E32_V3", kafkaHeadSize="Standard_D4ds_V5"))["text"]
    assert "headnode: 2 x Standard_E32_v3: no price in this region" in text
    assert "headnode: 2 x Standard_D4ds_v5: 0.45 USD an hour, 330 USD a month, for the machine alone" in text
    assert "at least" in text
    monkeypatch.setattr("millrace.azure.price_list.PRICES", "https://prices.example.org")
    text = try_once(previewing(A))["text"]
    assert "does not answer" in text
    assert "no estimate" in text
