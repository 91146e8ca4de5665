"""Alerts in real-time mode between the topics of a Kafka that takes only TLS and a login."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pyspark.sql import SparkSession

from jobs.alerts import start_alerts
from jobs.connection import KAFKA_PREFIX
from jobs.lake import Lake, alerts_query
from jobs.lake_files import LakeFiles
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.credentials import Login
from millrace.home import Home
from millrace.kafka_settings import java_options, with_login
from millrace.stack.lifecycle import down
from millrace.waiting import until
from tests.conformance.certificates import make_certificates
from tests.conformance.secure_kafka import start_secure_kafka
from tests.end_to_end.topic_oracle import read_topic
from tests.oracle.alerts import read_alert

pytestmark = pytest.mark.stack

EPOCH, PATIENCE = timedelta(seconds=5), timedelta(minutes=2)
LOGIN = Login("millrace", "a-Secret")


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What a client of the secure broker is told, under librdkafka's names."""
    home, certificates = Home(tmp_path / "home"), make_certificates(tmp_path / "certificates")
    monkeypatch.setenv("MILLRACE_HOME", str(home.root))
    try:
        bootstrap = start_secure_kafka(home, certificates, LOGIN.login, LOGIN.password).by_login
        yield {"bootstrap.servers": bootstrap, **with_login({"ssl.ca.location": str(certificates.ca)}, LOGIN)}
    finally:
        down(home)


def test_source_and_sink_log_in_and_no_secret_is_in_plan_or_checkpoint(
    spark: SparkSession, secure: dict[str, str], local_lake: Lake, tmp_path: Path
) -> None:
    one = replace(stock_high_low, topic=replace(stock_ticks, partitions=1))
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    settings = {f"{KAFKA_PREFIX}{name}": value for name, value in java_options(secure).items()}
    for name, value in settings.items():
        hadoop.set(name, value)
    bootstrap, query = secure["bootstrap.servers"], None
    producer, admin = Producer(secure), AdminClient(secure)
    tick = {"symbol": "A", "event_time": datetime.now(UTC).isoformat(), "price": 2.5, "volume": 1000}
    try:
        topics = [NewTopic(name, 1, 1) for name in ("stock_ticks", "stock_alerts")]
        for made in admin.create_topics(topics).values():
            made.result(30)
        producer.produce("stock_ticks", b"no alert, for it is there when the query starts")
        assert producer.flush(30) == 0
        query = start_alerts(spark, one, local_lake, bootstrap, EPOCH)
        checkpoint = local_lake.checkpoint(alerts_query(one.name), "stock_ticks")
        files = LakeFiles(spark)
        assert until(lambda: files.exists(f"{checkpoint}/sources/0/0"), PATIENCE), query.exception()
        producer.produce("stock_ticks", json.dumps(tick).encode())
        assert producer.flush(30) == 0
        assert until(lambda: bool(query.recentProgress) and query.lastProgress["numInputRows"], PATIENCE)
        (alert,) = read_topic(bootstrap, one.alerts.topic, secure)
        assert (alert.key, read_alert(alert.value)["_offset"]) == (b"A", 1)
        plan = query._jsq.explainInternal(True)
        assert "Kafka" in plan
    finally:
        if query is not None:
            query.stop()
        for name in settings:
            hadoop.unset(name)
    kept = [path.read_text(errors="replace") for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert kept
    assert LOGIN.password not in plan + "".join(kept)
