"""A lease on a blob of Azurite: kept for as long as it takes, and its loss is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobClient, BlobLeaseClient

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.operators.azure_errors import as_airflow_errors
from millrace.platforms.blob_lease import TERM, leased
from millrace.stack.containers import ensure_container

pytestmark = pytest.mark.stack

SHORTEST = timedelta(seconds=15)  # that Azure takes
TAKEN = "LeaseAlreadyPresent"


@pytest.fixture
def blob(environment: Environment) -> BlobClient:
    ensure_container(environment)
    name = f"leases/{uuid.uuid4().hex}"
    return environment.blob_service().get_blob_client(environment.storage.container, name)


def taken_from_its_holder(blob: BlobClient) -> BlobLeaseClient:
    """By another machine, as when the holder's has slept."""
    BlobLeaseClient(blob).break_lease(lease_break_period=0)
    return blob.acquire_lease(lease_duration=15)


def hold(blob: BlobClient, during: Callable[[], object], term: timedelta = TERM) -> None:
    with leased(blob, term):
        during()


def test_a_lease_is_renewed_for_as_long_as_it_is_held(blob: BlobClient) -> None:
    with leased(blob, SHORTEST):
        time.sleep(SHORTEST.total_seconds() + 2)
        with pytest.raises(HttpResponseError) as refused:
            blob.acquire_lease(lease_duration=15)
    assert refused.value.error_code == TAKEN
    blob.acquire_lease(lease_duration=15).release()


def test_a_lease_that_was_lost_is_told_at_the_end(blob: BlobClient) -> None:
    others: list[BlobLeaseClient] = []
    with pytest.raises(AzureError, match="its lease was lost while it was held ") as lost:
        hold(blob, lambda: others.append(taken_from_its_holder(blob)))
    assert not isinstance(lost.value, MillraceError), "which no task tries again"
    (another,) = others
    another.renew()  # the holder's end has left it alone


def test_a_renewal_that_is_refused_is_why_the_lease_was_lost(
    blob: BlobClient, caplog: pytest.LogCaptureFixture
) -> None:
    def lose() -> None:
        another = taken_from_its_holder(blob)
        time.sleep(SHORTEST.total_seconds() / 3 + 2)
        another.release()

    with pytest.raises(AzureError, match="its lease was lost while it was held") as lost:
        hold(blob, lose, SHORTEST)
    assert "its lease is not renewed" in caplog.text
    assert isinstance(lost.value.__cause__, HttpResponseError)
    assert lost.value.__cause__.error_code == "LeaseIdMismatchWithLeaseOperation"


def test_an_error_of_the_block_itself_comes_before_that_of_a_lost_lease(blob: BlobClient) -> None:
    def fail() -> None:
        taken_from_its_holder(blob)
        raise MillraceError("refused")

    with pytest.raises(MillraceError, match="refused"):
        hold(blob, fail)


def test_a_task_that_finds_it_leased_for_too_long_is_tried_again(blob: BlobClient) -> None:
    """Airflow tries again what is no AirflowFailException."""
    with (
        leased(blob),
        pytest.raises((AzureError, AirflowException), match="leased by others for 0:00:01; try again") as refused,
        as_airflow_errors(),
        leased(blob, patience=timedelta(seconds=1)),
    ):
        raise AssertionError("two at once")
    assert not isinstance(refused.value, AirflowException)
