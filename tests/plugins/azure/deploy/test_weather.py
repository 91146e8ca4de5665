"""What Azure does on a bad day: too many requests, errors that pass, tokens that end."""

from __future__ import annotations

import re

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import refusal
from tests.plugins.azure.deploy.tries import deploying, finished, previewing, try_once, waited

ANY = "/providers/Microsoft.Resources/deployments/[^/]+$"
POLL = "/operationresults/"


def statuses(azure: Azure, method: str, part: str) -> list[int]:
    return [
        one.answer.status for one in azure.said if one.request.method == method and re.search(part, one.request.path)
    ]


def test_too_many_requests_are_waited_for(azure: Azure) -> None:
    azure.faults.throttle("GET", ANY, times=1)
    azure.faults.throttle("PUT", ANY, times=1)
    azure.faults.throttle("POST", "/validate$", times=1)
    azure.faults.throttle("GET", POLL, times=1)
    assert finished()["resourceGroup"] == "mr-dev"
    assert azure.faults.happened == 4
    assert [status for status, _, _ in azure.waits()] == [429] * 4
    assert all(waited >= told for _, told, waited in azure.waits()), azure.waits()


@pytest.mark.parametrize(("method", "path"), [("GET", ANY), ("PUT", ANY), ("GET", POLL)])
def test_errors_of_the_service_are_asked_again_no_sooner_than_it_says(azure: Azure, method: str, path: str) -> None:
    told = ((500, "InternalServerError"), (503, "ServiceUnavailable"), (409, "Conflict"))
    for status, code in told:
        azure.faults.answer(method, path, refusal(status, code, "Something went wrong.", retry_after="1"))
    if path == POLL:
        try_once(previewing())
    else:
        assert finished()["resourceGroup"] == "mr-dev"
    assert azure.faults.happened == 3
    assert [status for status, _, _ in azure.waits()] == [status for status, _ in told]
    assert all(waited >= wait for _, wait, waited in azure.waits()), azure.waits()


def test_an_error_that_outlasts_the_clients_patience_is_left_to_airflow(azure: Azure) -> None:
    busy = refusal(409, "AnotherOperationInProgress", "Another operation is in progress.")
    azure.faults.answer("PUT", ANY, busy)
    with pytest.raises(AirflowException, match="AnotherOperationInProgress") as caught:
        finished()
    assert not isinstance(caught.value, AirflowFailException)
    assert finished()["resourceGroup"] == "mr-dev"


def test_a_token_that_ends_between_two_tries_is_replaced(azure: Azure) -> None:
    operator = deploying()
    with pytest.raises(TaskDeferred):
        operator.execute({})
    azure.login.end_tokens()
    assert try_once(operator)["resourceGroup"] == "mr-dev"
    assert len(azure.login.issued) >= 2


def test_a_token_that_ends_while_the_trigger_waits_is_replaced(azure: Azure) -> None:
    """Its client has used the token, and believes that it lasts for most of an hour."""
    with pytest.raises(TaskDeferred) as deferred:
        deploying().execute({})
    before = len(statuses(azure, "GET", ANY))
    azure.faults.when("GET", ANY, azure.login.end_tokens, after=2)
    assert waited(deferred.value.trigger)["state"] == "Succeeded"
    assert azure.faults.happened == 1
    seen = statuses(azure, "GET", ANY)[before:]
    assert seen[:4] == [200, 200, 401, 200]
    assert set(seen[4:]) <= {200}
    assert azure.asked("PUT", "") == 1


@pytest.mark.parametrize(("after", "asked"), [(0, [2, 1]), (2, [1, 2])], ids=["validation", "what-if"])
def test_a_token_that_ends_while_an_operation_is_awaited_is_replaced(
    azure: Azure, after: int, asked: list[int]
) -> None:
    """Azure ends a validation at the second look; what was asked with the old token is asked again."""
    azure.faults.when("GET", POLL, azure.login.end_tokens, after=after)
    assert try_once(previewing())["changes"] > 0
    assert azure.faults.happened == 1
    assert statuses(azure, "GET", POLL)[: after + 1] == [202, 200, 401][-after - 1 :]
    assert [len(statuses(azure, "POST", path)) for path in ("/validate$", "/whatIf$")] == asked


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
