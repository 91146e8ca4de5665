"""The whole main job through Livy on YARN: Spark 3.3, Python 3.8, a Kafka that asks for a login; then faults.

The tests share two streams, and what one has killed the next finds started again: a driver takes half a minute.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import httpx
import pytest

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.credentials import Login
from millrace.environment import Environment
from millrace.kafka_brokers import advertised_brokers
from millrace.lake.offsets import end_offsets
from millrace.lake.published import publications
from millrace.platforms.hdinsight import hdinsight_platform
from millrace.platforms.hdinsight_gateway import Gateway
from millrace.platforms.hdinsight_login import BasicLogin
from millrace.platforms.protocol import JobState, SparkJob
from millrace.waiting import until
from tests.conformance.cluster import GATEWAY, LIVY, Cluster
from tests.conformance.engine import require_hdinsights_engine
from tests.conformance.secrets_search import require_no_secret_in_sight
from tests.conformance.streams import ARCHIVE, DAY, PATIENCE, SPEED, Streams
from tests.end_to_end.topic_oracle import decode

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def streams(hdinsight: Environment) -> Streams:
    streams = Streams(hdinsight)
    streams.begin(3000, 600)
    return streams


def test_the_engine_is_hdinsights() -> None:
    require_hdinsights_engine()


def test_spark_reaches_every_broker_by_its_advertised_name_with_tls_and_its_login(streams: Streams) -> None:
    assert streams.check_brokers() == {address: {} for address in advertised_brokers(streams.environment).values()}


def test_archive_and_speed_answer_like_the_oracle(streams: Streams) -> None:
    streams.settle()
    rows, layers = streams.view()
    assert layers == {"speed"}
    assert rows == streams.expected()


def test_a_second_submission_returns_the_live_job(streams: Streams) -> None:
    running = streams.platform.submit(streams.archive("archive.2"))
    assert running.owner == "archive.1"
    other = hdinsight_platform(streams.environment)  # as another process of Airflow
    assert other.find(running.name) == running


def test_no_secret_is_where_people_or_programs_look(
    streams: Streams, cluster: Cluster, passwords: dict[str, str]
) -> None:
    require_no_secret_in_sight(streams, cluster, passwords)


def test_livy_killed_and_restarted_without_memory_the_jobs_are_found_by_yarn(
    streams: Streams, cluster: Cluster
) -> None:
    before = {query: streams.live(query) for query in (ARCHIVE, SPEED)}
    cluster.kill(LIVY)
    assert {query: streams.live(query) for query in before} == before, "YARN alone tells it"
    with pytest.raises(httpx.HTTPStatusError, match="502"):
        streams.platform.gateway.check_livy()
    cluster.start_livy()
    assert streams.platform.gateway.batch(0) is None, "Livy has forgotten its sessions"
    for query, job in (
        (ARCHIVE, streams.archive("archive.3")),
        (SPEED, streams.speed("speed.3")),
    ):
        assert streams.platform.submit(job) == before[query]


def test_the_gateway_killed_nothing_is_concluded_from_its_silence(streams: Streams, cluster: Cluster) -> None:
    before = streams.live(SPEED)
    cluster.kill(GATEWAY)
    for ask in (lambda: streams.platform.state(before.id), lambda: streams.platform.submit(streams.speed("speed.4"))):
        with pytest.raises(httpx.TransportError):
            ask()
    cluster.start_gateway()
    assert streams.live(SPEED) == before
    assert streams.platform.state(before.id).state is JobState.RUNNING


def test_a_wrong_login_is_refused_and_no_job_is_lost_by_it(streams: Streams, cluster: Cluster) -> None:
    wrong = Gateway(cluster.url, BasicLogin(lambda: Login("millrace", "wrong")), streams.platform.settings.ca_file)
    with pytest.raises(MillraceError, match=r"refuses the login: 401.*correct its Airflow connection"):
        wrong.check_livy()
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        dataclasses.replace(streams.platform, gateway=wrong).state(streams.live(SPEED).id)


def test_a_drivers_container_killed_in_a_micro_batch_loses_and_doubles_nothing(
    streams: Streams, cluster: Cluster
) -> None:
    job = streams.live(SPEED)
    streams.produce(DAY + timedelta(hours=31), 1500, seed=5)

    def is_under_way() -> bool:
        return streams.batches(SPEED, "offsets") > streams.batches(SPEED, "commits")

    assert until(is_under_way, PATIENCE, timedelta(milliseconds=50))
    victims = cluster.driver_processes(job.id)
    assert victims
    for process in victims:
        process.kill()
    status = streams.end(job)
    assert (status.state, status.exit_code) == (JobState.FAILED, 137)
    assert any("137" in line for line in streams.platform.logs(job.id, 50))
    assert not streams.platform.store.read(f"jobs/{job.id}/connection.json"), "its secrets end with it"
    started = streams.platform.submit(streams.speed("speed.5"))
    assert started.owner == "speed.5"
    streams.settle()
    rows, _ = streams.view()
    assert rows == streams.expected()


def test_an_interval_is_reprocessed_certified_and_published(streams: Streams) -> None:
    result = streams.reprocess()
    assert result["published"]
    assert not result["partial"]
    assert result["parity"]["equal"] == result["rows_written"] > 0
    assert (result["parity"]["different"], result["parity"]["only_batch"], result["parity"]["only_speed"]) == (0, 0, 0)
    rows, layers = streams.view()
    assert layers == {"batch", "speed"}
    assert rows == streams.expected()
    day = Interval.of(DAY, stock_high_low.interval)
    published = next(each for each in publications(streams.environment, stock_high_low) if each.interval == day)
    ends = end_offsets(streams.environment, stock_ticks.name)
    assert {int(partition) for partition in published.certificate["coverage"]} == set(ends)
    assert all(published.certificate["coverage"][str(p)] <= end for p, end in ends.items())
    ticks = [tick for tick in map(decode, streams.records()) if tick is not None]
    assert result["rows_read"] == sum(day.start <= tick.event_time < day.end for tick in ticks)


def test_a_second_driver_of_a_query_ends_with_the_code_of_a_held_lock(streams: Streams) -> None:
    streams.await_true("its lock", streams.live(ARCHIVE), lambda: _is_locked_by(streams, "archive.1"))
    other = dataclasses.replace(streams.archive("archive.6"), name="another_name")
    running = streams.platform.submit(other)
    status = streams.end(running)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)
    assert any("is run by owner 'archive.1'" in line for line in streams.platform.logs(running.id, 100))


def test_wrong_arguments_end_with_their_code_and_what_is_wrong(streams: Streams) -> None:
    arguments = ("redecode", "--topic", "no_such_topic", "--run", "r", "--lake", streams.environment.lake)
    running = streams.platform.submit(SparkJob("wrong", arguments, "wrong.1"))
    status = streams.end(running)
    assert (status.state, status.exit_code) == (JobState.FAILED, 2)
    assert any("topic 'no_such_topic' is not declared" in line for line in streams.platform.logs(running.id, 100))


def test_cancelling_ends_a_job_by_livy_or_past_a_livy_that_forgot_it(streams: Streams) -> None:
    forgotten, known = streams.live(ARCHIVE), streams.live(SPEED)
    for job in (forgotten, known):
        streams.platform.cancel(job.id, timedelta(0))
        assert streams.platform.state(job.id).state is JobState.CANCELLED
        assert streams.platform.find(job.name) is None
    streams.platform.cancel(known.id)


def test_a_stop_request_ends_a_stream_after_its_micro_batch(streams: Streams) -> None:
    running = streams.platform.submit(streams.archive("archive.7"))
    streams.await_true("its start", running, lambda: _is_locked_by(streams, "archive.7"))
    status = streams.stop(running)
    assert (status.state, status.exit_code) == (JobState.SUCCEEDED, 0)
    assert "millrace: stopped on request" in streams.platform.logs(running.id, 20)
    with pytest.raises(MillraceError, match=r"job nonsense: .*no such job"):
        streams.platform.state("nonsense")


def _is_locked_by(streams: Streams, owner: str) -> bool:
    return (streams.store.read_json(Lake("").lock(ARCHIVE)) or {}).get("owner") == owner
