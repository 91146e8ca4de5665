"""The streams that stop before `teardown` deletes: those of the environment that is deleted, with a real lake."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import MillraceError, UsageError
from jobs.lake import Lake
from millrace.azure.arm import Resource
from millrace.azure.environments import Environments
from millrace.azure.hook import ResourceManagerHook
from millrace.environment import StorageAccount, load_environment
from millrace.home import PROJECT_ROOT, Home
from millrace.lake.store import LakeStore
from millrace.operators.azure_delete import require_choice
from millrace.stack.azurite import ACCOUNT, AZURITE, account_key_file, blob_endpoint, start_azurite
from millrace.stack.process import stop
from millrace.supervision.control import StreamControl
from millrace.tasks.azure_streams import stop_streams
from millrace.waiting import until
from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import A, finished

FILE = """
platform = "hdinsight"
[lake]
account = "{account}"
container = "{container}"
path = "teardown-{name}"
blob_endpoint = "{endpoint}"
key_connection = "teardown_lake"
[kafka]
bootstrap = "127.0.0.1:1"
"""
QUICKLY = timedelta(seconds=20)
STREAM = "archive__stock_ticks"


@dataclass
class Place:
    """An environment on Azure, whose lake is on Azurite, and one of its drivers."""

    name: str
    store: LakeStore

    def lock(self, query: str = STREAM, age: timedelta = timedelta(0)) -> None:
        """As `jobs.lock` writes it."""
        at = datetime.now(UTC) - age
        lock = {"query": query, "heartbeat_at": at.isoformat(), "expires_at": (at + timedelta(seconds=30)).isoformat()}
        self.store.write_json(Lake("").lock(query), lock)

    def requests(self) -> set[str]:
        """Why the archive is asked to stop."""
        request = StreamControl(self.store, STREAM).stop_request()
        return {request.reason} if request else set()

    def obeys(self) -> threading.Thread:
        """A driver that releases its lock when it is asked to stop."""

        def drive() -> None:
            if until(lambda: bool(self.requests()), QUICKLY, timedelta(milliseconds=50)):
                self.store.delete(Lake("").lock(STREAM))

        self.lock()
        driver = threading.Thread(target=drive)
        driver.start()
        return driver


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageAccount]:
    """Azurite alone."""
    home = Home(tmp_path_factory.mktemp("azurite") / "home")
    start_azurite(home)
    account = StorageAccount(ACCOUNT, "lake", blob_endpoint(home), account_key_file(home))
    account.blob_service().create_container(account.container)
    yield account
    stop(home, AZURITE)


@pytest.fixture
def place(storage: StorageAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Airflow's own environment is another one, whose lake answers nobody."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_TEARDOWN_LAKE",
        json.dumps({"conn_type": "generic", "login": "key", "password": storage.account_key()}),
    )
    ours = {"account": storage.account_name, "container": storage.container, "endpoint": storage.blob_endpoint}
    others = {"account": "otherlake", "container": "lake", "endpoint": "http://127.0.0.1:1/otherlake"}
    name = f"tests-{uuid.uuid4().hex[:8]}"
    files = {
        PROJECT_ROOT / "infra" / "environments" / f"{each}.toml": FILE.format(name=each, **fields)
        for each, fields in ((name, ours), (f"{name}-own", others))
    }
    monkeypatch.setenv("MILLRACE_ENVIRONMENT", f"{name}-own")
    try:
        for path, text in files.items():
            path.write_text(text)
        yield Place(name, LakeStore(load_environment(name)))
    finally:
        for path in files:
            path.unlink()


@pytest.fixture
def deployed(azure: Azure, storage: StorageAccount) -> Environments:
    """mr-dev, with the account that is Azurite's."""
    finished(A)
    group = f"/subscriptions/{azure.subscription}/resourceGroups/mr-dev"
    kind, name = "Microsoft.Storage/storageAccounts", storage.account_name
    account = {"location": "northeurope", "tags": {"millrace-environment": "mr-dev"}}
    azure.manager.resources.put(Resource(f"{group}/providers/{kind}/{name}", kind, name, "2023-05-01", account, ()))
    return Environments(ResourceManagerHook())


def nothing_runs(_: str) -> int:
    """No DAG of this Airflow is active."""
    return 0


def test_the_streams_of_what_is_deleted_stop_and_not_those_of_airflows_own_environment(
    place: Place, deployed: Environments
) -> None:
    driver = place.obeys()
    always = 1  # Airflow's own streams run on, elsewhere
    assert stop_streams("mr-dev", deployed, lambda _: always, QUICKLY) == [STREAM]
    assert place.requests() == {"teardown"}
    driver.join()


def test_where_airflows_own_environment_is_deleted_its_dags_are_waited_for(
    place: Place, deployed: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_ENVIRONMENT", place.name)
    place.lock(age=timedelta(minutes=1))  # of a driver that was killed: its task waits to start it again
    assert stop_streams("mr-dev", deployed, lambda dag: dag == STREAM and not place.requests(), QUICKLY) == [STREAM]
    with pytest.raises(MillraceError, match=f"streams .*{STREAM}.* are still active"):
        stop_streams("mr-dev", deployed, lambda _: 1, timedelta(0))


def test_a_driver_that_does_not_stop_keeps_everything(place: Place, deployed: Environments) -> None:
    place.lock("stock_high_low__speed.0123456789ab")
    with pytest.raises(MillraceError, match=r"streams stock_high_low__speed\.0123456789ab are still active"):
        stop_streams("mr-dev", deployed, nothing_runs, timedelta(0))


def test_streams_that_are_not_known_here_keep_everything(place: Place, azure: Azure) -> None:
    """The account that the templates make is in no file."""
    account = finished(A)["storageAccount"]
    environments = Environments(ResourceManagerHook())
    with pytest.raises(MillraceError, match=f"has the storage account {account}, which is lake.account in no file"):
        stop_streams("mr-dev", environments, nothing_runs)
    assert place.requests() == set()
    assert stop_streams("other-dev", environments, nothing_runs) == [], "nothing bears that tag"


def test_a_group_that_is_being_deleted_has_no_streams_any_longer(place: Place, deployed: Environments) -> None:
    deployed.begin_delete_group("mr-dev")
    assert stop_streams("mr-dev", deployed, nothing_runs) == []
    assert place.requests() == set()


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({"delete_data": True}, "deleting all data needs 'delete everything'"),
        ({"clusters": "all"}, "not archived yet needs 'delete everything'"),
        ({}, "clusters is 'none' and delete_data is off"),
    ],
)
def test_a_form_that_deletes_nothing_stops_no_stream(chosen: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        require_choice({"delete_data": False, "clusters": "none", "confirmation": "yes", **chosen})
    require_choice({"delete_data": False, "clusters": "spark", "confirmation": ""})
