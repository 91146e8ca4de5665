"""Event Hubs' topics: as they are declared, and kept for as long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.errors import MillraceError, UsageError
from millrace.azure.environments import Environments
from millrace.azure.event_hubs import asked_hubs
from millrace.azure.hook import ResourceManagerHook
from millrace.declared_topics import KafkaTopic
from millrace.tasks.azure import check_event_hubs, declare
from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import EVENT_HUBS
from tests.plugins.azure.deploy.test_form import FORM
from tests.plugins.azure.deploy.tries import finished

WEEK = 168
"""Hours that both topics are declared to be kept for."""
NOW = datetime(2026, 7, 1, tzinfo=UTC)
DECLARED = [{"name": name, "partitions": 3, "retentionHours": WEEK} for name in ("stock_alerts", "stock_ticks")]


def checked(*hubs: dict[str, Any]) -> dict[str, str]:
    outputs, hook = finished(EVENT_HUBS, eventHubsTopics=list(hubs)), ResourceManagerHook()
    return check_event_hubs(outputs, hook.subscription_id, Environments(hook))


def test_the_deployment_makes_the_topics_as_they_are_declared(azure: Azure) -> None:
    asked = declare({**FORM, "kafka": "eventhubs"}, NOW)["eventHubsTopics"]
    assert asked == DECLARED
    made = "made by the deployment, 3 partitions, kept for 168 h"
    assert checked(*asked) == {"stock_alerts": made, "stock_ticks": made}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"partitions": 5}, "'stock_ticks': its event hub has 5 partitions, 3 are declared; Event Hubs changes no"),
        ({"retentionHours": 24}, "'stock_ticks': its event hub keeps records for 24 h, declared is 7 days.*run the"),
    ],
)
def test_a_topic_that_is_not_as_declared_is_told(azure: Azure, changed: dict[str, Any], told: str) -> None:
    alerts, ticks = DECLARED
    with pytest.raises(MillraceError, match=told):
        checked(alerts, {**ticks, **changed})


def test_a_topic_that_the_namespace_lacks_is_told(azure: Azure) -> None:
    with pytest.raises(MillraceError, match=r"topic 'stock_ticks': the Event Hubs namespace mr-dev-\w+ does not have"):
        checked(DECLARED[0])


@pytest.mark.parametrize(
    ("tier", "retention", "hours"),
    [
        ("Standard", timedelta(seconds=1), 1),  # whole hours, and never less than what is declared
        ("Standard", timedelta(hours=1, minutes=1), 2),
        ("Standard", timedelta(days=7), 168),
        ("Premium", timedelta(days=90), 2160),
    ],
)
def test_records_are_kept_for_at_least_as_long_as_declared(tier: str, retention: timedelta, hours: int) -> None:
    assert asked_hubs([KafkaTopic("t", 4, retention)], tier) == [
        {"name": "t", "partitions": 4, "retentionHours": hours}
    ]


@pytest.mark.parametrize(
    ("tier", "retention", "told"),
    [
        ("Standard", timedelta(days=7, seconds=1), "7 days, 0:00:01, and .* Standard .* 7 days at most.* Premium"),
        (
            "Premium",
            timedelta(days=91),
            "91 days, 0:00:00, and .* Premium .* 90 days at most; declare that or less, or",
        ),
        ("Standard", None, r"None \(for ever\), and .* 7 days at most"),
        ("Premium", None, r"None \(for ever\), and .* 90 days at most"),
        ("Basic", timedelta(days=1), "parameter 'eventHubsSku' is 'Basic'; use one of Standard, Premium"),
    ],
)
def test_what_the_tier_cannot_keep_is_refused(tier: str, retention: timedelta | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        asked_hubs([KafkaTopic("t", 4, retention)], tier)


def test_the_forms_tier_goes_before_the_sizes_and_a_cluster_has_none() -> None:
    form = {**FORM, "kafka": "eventhubs", "parameters": {"eventHubsSku": "Basic"}}
    with pytest.raises(UsageError, match="'Basic'"):
        declare(form, NOW)
    assert "eventHubsTopics" not in declare({**form, "kafka": "cluster"}, NOW)
