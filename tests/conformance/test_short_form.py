"""A few minutes of the conformance tests, for every `make test-long`: the main job through a real Livy on YARN, with
Spark 3.3 and Python 3.8, and Livy killed meanwhile. `make conformance` does all of it, and kills whatever can be."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli.status import stream_status
from millrace.environment import Environment
from millrace.home import Home
from millrace.kafka_brokers import advertised_brokers
from millrace.lake.published import publications
from millrace.platforms.protocol import JobState
from tests.conformance.cluster import LIVY, Cluster
from tests.conformance.engine import require_hdinsights_engine
from tests.conformance.secrets_search import require_no_secret_in_sight
from tests.conformance.streams import ARCHIVE, SPEED, Streams
from tests.plugins.platforms.entra import CONNECTION, entra_cloud

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def streams(hdinsight: Environment) -> Streams:
    streams = Streams(hdinsight)
    streams.begin(900, 300)
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


def test_no_secret_is_where_people_or_programs_look(
    streams: Streams, cluster: Cluster, passwords: dict[str, str]
) -> None:
    require_no_secret_in_sight(streams, cluster, passwords)


def test_the_status_tells_of_both_streams_and_where_their_logs_are(streams: Streams, rig: Home) -> None:
    told = {row["query"]: row for row in stream_status(streams.environment, rig, answers=True)}
    rows = {query: row for query, row in told.items() if row["state"] != "stopped"}
    assert set(rows) == {streams.live(query).name for query in (ARCHIVE, SPEED)}
    for row in rows.values():
        assert (row["state"], row["last_error"]) == ("running", None)
        assert row["lag"] is not None
        assert "/driver.log, https://" in row["log"]
        assert "/yarnui/hn/cluster/app/application_" in row["log"]


def test_jobs_are_adopted_after_livy_was_killed(streams: Streams, cluster: Cluster) -> None:
    before = {query: streams.live(query) for query in (ARCHIVE, SPEED)}
    cluster.kill(LIVY)
    assert {query: streams.live(query) for query in before} == before, "YARN alone tells it"
    cluster.start_livy()
    assert streams.platform.gateway.batch(0) is None, "Livy has forgotten its sessions"
    assert streams.platform.submit(streams.archive("archive.2")) == before[ARCHIVE]
    assert streams.platform.submit(streams.speed("speed.2")) == before[SPEED]


def test_a_day_is_reprocessed_by_tokens_of_entra_that_end_meanwhile(
    streams: Streams, cluster: Cluster, tmp_path: Path
) -> None:
    """Through a second gateway, as clusters with Entra have it."""
    with entra_cloud(tmp_path) as entra:
        entra.told_s = entra.lasts_s = 4
        url = cluster.start_entra_gateway(entra.public_key, "https://conformance.clusteraccess.azurehdinsight.net")
        table = streams.environment.platform_table
        values = {**table.values, "gateway": url, "login": "entra", "connection": CONNECTION}
        changed = dataclasses.replace(table, values=values)
        by_token = Streams(dataclasses.replace(streams.environment, platform_table=changed))
        assert by_token.live(ARCHIVE) == streams.live(ARCHIVE)
        result = by_token.reprocess()
        assert len(entra.tokens) > 2
    assert (result["published"], result["partial"], result["parity"]["causes"]) == (True, [], {})
    rows, layers = streams.view()
    assert layers == {"batch", "speed"}
    assert rows == streams.expected()
    assert len(publications(streams.environment, stock_high_low)) == 1


def test_a_cancelled_stream_ends_after_its_micro_batch_where_it_is_given_time(streams: Streams) -> None:
    running = streams.live(ARCHIVE)
    streams.platform.cancel(running.id, grace=timedelta(minutes=2))
    status = streams.platform.state(running.id)
    assert (status.state, status.exit_code) == (JobState.SUCCEEDED, 0)
    assert "millrace: stopped on request" in streams.platform.logs(running.id, 20)
