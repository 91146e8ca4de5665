"""What Spark says of brokers that it does not reach. Real brokers: tests/plugins/operators/test_check_brokers.py."""

from __future__ import annotations

import socket

import pytest
from pyspark.sql import SparkSession

from jobs.broker_check import check_brokers
from jobs.reach import host_and_port, why_unreached

pytestmark = pytest.mark.both_engines

DRIVER, EXECUTOR = f"driver on {socket.gethostname()}", f"executor on {socket.gethostname()}"


def test_what_is_shut_has_no_name_or_is_no_broker_is_told_for_driver_and_executors(spark: SparkSession) -> None:
    with socket.socket() as silent, socket.socket() as shut:
        for each in (silent, shut):
            each.bind(("127.0.0.1", 0))
        silent.listen(64)
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (silent, shut)]
        report = check_brokers(spark, [*addresses, "wn1-kafka.millrace.invalid:9092"], [])
    assert report["places"] == [DRIVER, EXECUTOR]
    no_broker, refused, nameless = (one["unreached"] for one in report["brokers"])
    assert list(no_broker) == [DRIVER], "without TLS a connection is all that executors can try of what leads nothing"
    assert "Kafka's client does not get in" in no_broker[DRIVER]
    for place in (DRIVER, EXECUTOR):
        assert refused[place] == f"127.0.0.1 port {addresses[1].rpartition(':')[2]}: Connection refused"
        assert nameless[place].startswith("the name does not resolve here")


@pytest.mark.parametrize(("server", "parts"), [("wn0-kafka:9092", ("wn0-kafka", 9092)), (" [::1]:9093", ("::1", 9093))])
def test_a_servers_parts(server: str, parts: tuple) -> None:  # type: ignore[type-arg]
    assert host_and_port(server) == parts


@pytest.mark.parametrize("server", ["wn0-kafka", ":9092", "wn0-kafka:port", ""])
def test_what_is_no_server_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        host_and_port(server)


def test_a_host_that_does_not_answer_is_given_up() -> None:
    why = why_unreached("192.0.2.1", 9092, timeout_s=0.2)  # of a network for documentation: it exists nowhere
    assert why is not None
    assert why.startswith("192.0.2.1 port 9092: ")
