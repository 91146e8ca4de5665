"""The DAGs of a pipeline with their drivers on the cluster: Airflow's own processes, whose connections are in its
database; the night's job outlives Livy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.environment import Environment
from millrace.home import Home
from tests.conformance.certificates import Certificates
from tests.conformance.cluster import LIVY, USER, Cluster
from tests.end_to_end.airflow_on_cluster import Place, airflow_elsewhere, send_ticks

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def place(
    hdinsight: Environment,
    certificates: Certificates,
    passwords: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    send_ticks(hdinsight)
    home = Home(tmp_path_factory.mktemp("airflow") / "home")
    logins = {name: (USER, password) for name, password in passwords.items()}
    with airflow_elsewhere(hdinsight, certificates.ca.parent / "environments", home, logins) as place:
        yield place


def test_the_archives_task_adopts_the_driver_that_somebody_started(place: Place) -> None:
    place.adopts_what_somebody_started()


def test_a_nightly_run_publishes_a_day_though_livy_was_killed_and_forgot_its_job(
    place: Place, cluster: Cluster
) -> None:
    night = place.begin_night()
    place.await_reprocess()
    cluster.kill(LIVY)
    cluster.start_livy()
    place.publishes(night)


def test_no_password_is_in_what_airflow_tells_of_its_runs(place: Place) -> None:
    place.shows_no_secret()


def test_streams_are_supervised_on_after_all_of_airflow_was_restarted_and_stop_with_their_tasks(place: Place) -> None:
    place.supervises_on_after_a_restart_and_stops_with_its_tasks()
