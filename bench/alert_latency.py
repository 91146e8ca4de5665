"""How long an alert takes from topic to topic, in real-time mode and in micro-batches: `python -m` this module.

From just before a producer sends the event until a consumer has its alert, on a fresh stack, both on this machine.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from pyspark.sql import SparkSession

from jobs.alerts import REAL_TIME_SOURCE, alert_records
from jobs.decode import decode
from jobs.kafka import read_stream, write_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.session import EXACTNESS
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.platforms.local_spark import LocalSparkSettings
from millrace.stack.jars import fetch_jars
from millrace.stack.lifecycle import down, up
from millrace.stack.topics import ensure_topic

RATE_PER_S, WARM_UP_S, MEASURED_S = 50, 20, 40
MODES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "real-time, epochs of 10 s": (REAL_TIME_SOURCE, {"realTime": "10 seconds"}),
    "micro-batches": ({}, {"processingTime": "0 seconds"}),
}
TOPIC, ALERTS = stock_high_low.topic, stock_high_low.alerts


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        try:
            up(home, airflow=False)
            environment = load_environment("local", home=home)
            for topic in (TOPIC.name, "stock_alerts"):
                ensure_topic(environment, topic, 3)
            with session() as spark:
                for name, (source, trigger) in MODES.items():
                    print(f"{name}: {told(measure(spark, environment, source, trigger, folder))}", flush=True)
        finally:
            down(home)


def measure(
    spark: SparkSession, environment: Environment, source: dict[str, str], trigger: dict[str, Any], folder: str
) -> list[float]:
    """Milliseconds, ascending, of what was sent after the warm-up."""
    bootstrap = environment.kafka_bootstrap
    records = decode(read_stream(spark, TOPIC, bootstrap, {"startingOffsets": "latest", **source}), TOPIC)
    writer = write_stream(spark, alert_records(records, stock_high_low), "stock_alerts", bootstrap)
    writer = writer.outputMode("update").option("checkpointLocation", f"{folder}/{min(trigger)}")
    query = writer.trigger(**trigger).start()
    sent, received, is_over = {}, {}, threading.Event()
    listener = threading.Thread(target=listen, args=(bootstrap, received, is_over))
    listener.start()
    try:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        for number in range((WARM_UP_S + MEASURED_S) * RATE_PER_S):
            moment = datetime.now(UTC).isoformat()
            tick = {"symbol": f"S{number}", "event_time": moment, "price": 1.5, "volume": 1000}
            sent[f"S{number}"] = time.monotonic()
            producer.produce(TOPIC.name, json.dumps(tick), partition=number % 3)
            producer.poll(0)
            time.sleep(1 / RATE_PER_S)
        assert producer.flush(30) == 0
        time.sleep(10)
    finally:
        is_over.set()
        listener.join()
        query.stop()
    measured = [f"S{number}" for number in range(WARM_UP_S * RATE_PER_S, len(sent))]
    return sorted(1000 * (received[symbol] - sent[symbol]) for symbol in measured)


def listen(bootstrap: str, received: dict[str, float], is_over: threading.Event) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{time.time()}", "auto.offset.reset": "latest"})
    consumer.subscribe(["stock_alerts"])
    while not is_over.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            received.setdefault(json.loads(message.value())["symbol"], time.monotonic())
    consumer.close()


@contextmanager
def session() -> Iterator[SparkSession]:
    """As a local driver has it."""
    local = LocalSparkSettings.of("local")
    builder = SparkSession.builder.master("local[3]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.extraClassPath", ":".join(map(str, fetch_jars("spark"))))
    builder = builder.config("spark.driver.extraJavaOptions", local.java_options)
    for key, value in {**EXACTNESS, "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def told(ms: list[float]) -> str:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    places = {name: ms[round(share * (len(ms) - 1))] for name, share in shares.items()}
    return f"{len(ms)} alerts, " + ", ".join(f"{name} {found:.0f} ms" for name, found in places.items())


if __name__ == "__main__":
    main()
