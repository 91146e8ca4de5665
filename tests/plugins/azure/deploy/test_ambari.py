"""Kafka's brokers through Ambari, against one with a memory: the one that the script action is tested with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from confluent_kafka.admin import ClusterMetadata, PartitionMetadata, TopicMetadata

from jobs.errors import MillraceError
from millrace.azure.advertising import advertise_addresses, advertise_names
from millrace.azure.ambari import Ambari, Broker
from millrace.kafka_brokers import behind
from millrace.operators.azure_errors import as_airflow_errors
from tests.infra import ambari as stand_in

QUICKLY = timedelta(milliseconds=5)


def nobody() -> list[str]:
    """No partition is behind."""
    return []


@pytest.fixture
def cluster() -> stand_in.Ambari:
    return stand_in.Ambari()


@pytest.fixture
def ambari(cluster: stand_in.Ambari) -> Iterator[Ambari]:
    server = stand_in.serve(cluster)
    yield Ambari(f"http://127.0.0.1:{server.server_address[1]}", "admin", "a-password", poll=QUICKLY)
    server.shutdown()
    server.server_close()


def test_brokers_are_told_by_name_and_address(ambari: Ambari) -> None:
    assert ambari.brokers() == [Broker(f"wn{n}-kafka", f"10.60.0.{4 + n}", is_stale=False) for n in range(3)]


def test_brokers_advertise_addresses_after_one_restart_each_one_after_the_other(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    assert advertise_addresses(ambari, nobody) == ["wn0-kafka", "wn1-kafka", "wn2-kafka"]
    assert cluster.current("kafka-broker") == {"listeners": "PLAINTEXT://0.0.0.0:9092", "num.io.threads": "8"}
    assert cluster.current("kafka-env")["content"].startswith("export KAFKA_HOME=/usr/hdp/current/kafka-broker\n# mill")
    assert "advertised.listeners=$MILLRACE_LISTENERS" in cluster.current("kafka-env")["content"]
    assert cluster.restarted == ["wn0-kafka", "wn1-kafka", "wn2-kafka"]
    assert (cluster.most_down, cluster.starts) == (1, 0)


def test_no_broker_is_stopped_before_the_replicas_of_the_one_before_have_caught_up(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    looks = iter([*["ticks-0"] * 3, None] * 3)  # before each broker: three times behind, then no longer
    seen = []

    def partitions() -> list[str]:
        found = next(looks)
        seen.append((found, len(cluster.restarted)))
        return [found] if found else []

    advertise_addresses(ambari, partitions, poll=QUICKLY)
    assert seen == [(each, number) for number in range(3) for each in ("ticks-0", "ticks-0", "ticks-0", None)]
    assert cluster.most_down == 1


def test_replicas_that_never_catch_up_end_the_restarts(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    with pytest.raises(MillraceError, match=r"not caught up within 0:00:00 \(1 partitions: ticks-0\), so no further"):
        advertise_addresses(ambari, lambda: ["ticks-0"] if cluster.restarted else [], timedelta(0), QUICKLY)
    assert cluster.restarted == ["wn0-kafka"]


def test_a_kafka_that_does_not_answer_once_is_asked_again_and_no_broker_is_stopped_meanwhile(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    unanswered = []

    def partitions() -> list[str]:
        if cluster.restarted and not unanswered:
            unanswered.append(list(cluster.restarted))
            raise MillraceError("Kafka does not tell of its replicas")
        return []

    assert advertise_addresses(ambari, partitions, poll=QUICKLY) == ["wn0-kafka", "wn1-kafka", "wn2-kafka"]
    assert (unanswered, cluster.most_down) == ([["wn0-kafka"]], 1)


def test_a_kafka_that_never_answers_ends_the_restarts_with_its_reason(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    def partitions() -> list[str]:
        raise MillraceError("Kafka does not tell of its replicas")

    with pytest.raises(MillraceError, match=r"within 0:00:00 \(Kafka does not tell of its replicas\), so no further"):
        advertise_addresses(ambari, partitions, timedelta(0), QUICKLY)
    assert cluster.restarted == []


def test_a_partition_is_behind_with_a_replica_out_of_sync_or_without_a_leader() -> None:
    cluster = ClusterMetadata()
    cluster.topics = {"ticks": TopicMetadata()}
    cluster.topics["ticks"].topic = "ticks"
    for number, (leader, in_sync) in enumerate([(1, [2, 1, 3]), (1, [1, 3]), (-1, [1, 2, 3])]):
        partition = PartitionMetadata()
        partition.id, partition.leader, partition.replicas, partition.isrs = number, leader, [1, 2, 3], in_sync
        cluster.topics["ticks"].partitions[number] = partition
    assert behind(cluster) == ["ticks-1", "ticks-2"]


def test_a_second_run_changes_and_restarts_nothing(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    advertise_addresses(ambari, nobody)
    before = dict(cluster.desired)
    assert advertise_addresses(ambari, nobody) == []
    assert (cluster.desired, len(cluster.restarted)) == (before, 3)


def test_a_run_that_was_cut_off_is_finished_by_the_next(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    ambari.configure("kafka-broker", {"listeners": "PLAINTEXT://0.0.0.0:9092"})
    ambari.restart(ambari.brokers()[0])
    cluster.down.add("wn2-kafka")
    assert advertise_addresses(ambari, nobody) == ["wn2-kafka", "wn0-kafka", "wn1-kafka"], "first the one that is down"
    assert (cluster.down, cluster.most_down) == (set(), 1)


def test_a_broker_that_is_down_is_started_whether_or_not_its_configuration_is_stale(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    advertise_addresses(ambari, nobody)
    cluster.restarted.clear()
    cluster.down.add("wn1-kafka")
    assert not [broker for broker in ambari.brokers() if broker.is_stale]
    assert advertise_addresses(ambari, nobody) == ["wn1-kafka"]
    assert (cluster.down, cluster.restarted) == (set(), ["wn1-kafka"])


def test_brokers_that_advertise_addresses_advertise_their_names_again(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    before = {kind: dict(cluster.current(kind)) for kind in cluster.desired}
    advertise_addresses(ambari, nobody)
    cluster.restarted.clear()
    assert advertise_names(ambari, nobody) == ["wn0-kafka", "wn1-kafka", "wn2-kafka"]
    assert {kind: cluster.current(kind) for kind in cluster.desired} == before
    assert (cluster.most_down, cluster.restarted) == (1, ["wn0-kafka", "wn1-kafka", "wn2-kafka"])
    assert advertise_names(ambari, nobody) == []


def test_white_space_that_ambari_trims_or_adds_at_the_end_of_its_template_changes_nothing(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    before = cluster.current("kafka-env")["content"].rstrip()
    for end in ("", "\n", " \n\n", "\r\n"):
        advertise_addresses(ambari, nobody)
        ambari.configure("kafka-env", {"content": cluster.current("kafka-env")["content"].rstrip() + end})
        advertise_names(ambari, nobody)
        assert cluster.current("kafka-env")["content"].rstrip() == before


def test_brokers_that_never_advertised_addresses_keep_their_configuration(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    cluster.current("kafka-broker")["listeners"] = "PLAINTEXT://0.0.0.0:9092"  # somebody's own
    before = dict(cluster.desired)
    assert advertise_names(ambari, nobody) == []
    assert cluster.desired == before


def test_going_back_to_names_is_finished_by_the_next_run_after_one_that_was_cut_off(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    advertise_addresses(ambari, nobody)
    ambari.configure("kafka-broker", {"listeners": "PLAINTEXT://localhost:9092"})
    ambari.restart(ambari.brokers()[0])
    advertise_names(ambari, nobody)
    assert "millrace" not in cluster.current("kafka-env")["content"]
    assert not [broker for broker in ambari.brokers() if broker.is_stale]


@pytest.mark.parametrize("is_within", [True, False], ids=["within", "behind the last"])
def test_lines_in_kafka_env_that_are_not_as_they_were_put_there_are_for_a_person(
    ambari: Ambari, cluster: stand_in.Ambari, is_within: bool
) -> None:
    advertise_addresses(ambari, nobody)
    content = cluster.current("kafka-env")["content"]
    changed = content.replace("sed -i", "sed -i -E") if is_within else f"{content.rstrip()} # ours\n"
    ambari.configure("kafka-env", {"content": changed})
    with pytest.raises(MillraceError, match="take them out in Ambari"):
        advertise_names(ambari, nobody)
    assert cluster.current("kafka-broker")["listeners"] == "PLAINTEXT://0.0.0.0:9092", "nothing is half undone"


def test_several_listeners_keep_their_protocols_and_ports(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    cluster.current("kafka-broker")["listeners"] = "PLAINTEXT://localhost:9092, SASL_SSL://localhost:9093"
    advertise_addresses(ambari, nobody)
    assert cluster.current("kafka-broker")["listeners"] == "PLAINTEXT://0.0.0.0:9092,SASL_SSL://0.0.0.0:9093"


def test_a_restart_that_fails_is_told_and_the_other_brokers_are_left_alone(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    cluster.outcome = "FAILED"
    with pytest.raises(MillraceError, match="broker wn0-kafka to INSTALLED: FAILED; see request 0"):
        advertise_addresses(ambari, nobody)
    assert cluster.down == {"wn0-kafka"}


def test_a_gateway_that_is_down_for_a_moment_does_not_end_a_restart(ambari: Ambari, cluster: stand_in.Ambari) -> None:
    cluster.unwell_at, cluster.unwell = "/c/requests/", 3
    assert advertise_addresses(ambari, nobody) == ["wn0-kafka", "wn1-kafka", "wn2-kafka"]
    assert (cluster.unwell, cluster.restarted) == (0, ["wn0-kafka", "wn1-kafka", "wn2-kafka"])


def test_what_the_gateway_could_not_answer_is_tried_again_by_airflow_and_what_ambari_refuses_is_not(
    ambari: Ambari, cluster: stand_in.Ambari
) -> None:
    cluster.unwell = 1
    with pytest.raises(AirflowException, match=": 502: ") as caught, as_airflow_errors():
        ambari.brokers()
    assert not isinstance(caught.value, AirflowFailException)
    server = stand_in.serve(cluster)
    with pytest.raises(AirflowFailException, match=": 403: "), as_airflow_errors():
        Ambari(f"http://127.0.0.1:{server.server_address[1]}", "admin", "wrong-password")
    server.shutdown()
    server.server_close()
    with pytest.raises(AirflowException, match="does not answer") as caught, as_airflow_errors():
        Ambari(f"http://127.0.0.1:{server.server_address[1]}", "admin", "a-password")
    assert not isinstance(caught.value, AirflowFailException)


def test_a_wrong_password_is_told_without_it(cluster: stand_in.Ambari) -> None:
    server = stand_in.serve(cluster)
    try:
        with pytest.raises(MillraceError, match=": 403: ") as caught:
            Ambari(f"http://127.0.0.1:{server.server_address[1]}", "admin", "wrong-password")
        assert "wrong-password" not in str(caught.value)
    finally:
        server.shutdown()
        server.server_close()
