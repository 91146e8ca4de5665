"""What Azure does on a bad day: too many requests, errors that pass, tokens that end."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import refusal
from tests.plugins.azure.deploy.tries import deploying, finished, try_once, waited

ANY = "/providers/Microsoft.Resources/deployments/[^/]+$"


def test_too_many_requests_are_waited_for(azure: Azure) -> None:
    azure.faults.throttle("GET", ANY, times=1)
    azure.faults.throttle("PUT", ANY, times=1)
    azure.faults.throttle("POST", "/validate$", times=1)
    assert finished()["resourceGroup"] == "mr-dev"
    assert azure.faults.happened == 3


def test_errors_of_the_service_are_asked_again(azure: Azure) -> None:
    for status, code in ((500, "InternalServerError"), (502, "BadGateway"), (503, "ServiceUnavailable")):
        azure.faults.answer("GET", ANY, refusal(status, code, "Something went wrong.", retry_after="1"))
    assert finished()["resourceGroup"] == "mr-dev"
    assert azure.faults.happened == 3


def test_an_error_that_outlasts_the_clients_patience_is_left_to_airflow(azure: Azure) -> None:
    busy = refusal(409, "AnotherOperationInProgress", "Another operation is in progress.")
    azure.faults.answer("PUT", ANY, busy)
    with pytest.raises(AirflowException, match="AnotherOperationInProgress") as caught:
        finished()
    assert not isinstance(caught.value, AirflowFailException)
    assert finished()["resourceGroup"] == "mr-dev"


def test_a_token_that_ends_midway_is_replaced(azure: Azure) -> None:
    operator = deploying()
    with pytest.raises(TaskDeferred):
        operator.execute({})
    azure.login.end_tokens()
    assert try_once(operator)["resourceGroup"] == "mr-dev"
    assert len(azure.login.issued) >= 2


def test_a_token_that_is_refused_within_a_task_is_replaced_once(azure: Azure) -> None:
    expired = refusal(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")
    azure.faults.answer("PUT", ANY, expired)
    with pytest.raises(TaskDeferred):
        deploying().execute({})
    assert azure.faults.happened == 1
    assert azure.asked("PUT", "") == 2


def test_short_lived_tokens_are_renewed_in_time(azure: Azure) -> None:
    azure.login.lifetime_s = 60
    assert finished()["resourceGroup"] == "mr-dev"
    assert {one.answer.status for one in azure.said}.isdisjoint({401})
    assert len(azure.login.issued) > 5


def test_the_trigger_outlasts_an_azure_that_does_not_answer(azure: Azure) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        deploying().execute({})
    azure.faults.answer("GET", ANY, *[refusal(409, "Conflict", "Not now.")] * 5)
    assert waited(deferred.value.trigger)["state"] == "Succeeded"
    assert azure.faults.happened == 5


def test_a_connection_that_is_refused_for_good_is_told(azure: Azure) -> None:
    forbidden = refusal(403, "AuthorizationFailed", "The client does not have authorization to perform action X.")
    azure.faults.answer("GET", ANY, forbidden)
    with pytest.raises(AirflowFailException, match="403: AuthorizationFailed: The client does not have"):
        finished()
