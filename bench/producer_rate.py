"""Whether 100,000 ticks a second are sent when asked for: `python -m` this module, on a fresh stack.

Beside the rate that was asked for: as many as go with no rate at all, and what the Kafka client alone sends of the same
records, generated before. What is left of the machine tells the rest: the broker runs on it too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from jobs.topics import stock_ticks
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.producers import Record, Settings, generate, send
from millrace.producers.sender import connect
from millrace.stack.lifecycle import down, up
from millrace.stack.topics import ensure_topic

RATE_PER_S, SECONDS = 100_000, 20
COUNT = RATE_PER_S * SECONDS


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        try:
            up(home, airflow=False)
            environment = load_environment("local", home=home)
            ensure_topic(environment, stock_ticks.name, stock_ticks.partitions)
            measure(environment)
        finally:
            down(home)


def measure(environment: Environment) -> None:
    topic, bootstrap = stock_ticks.name, environment.kafka_bootstrap
    live = send(generate(ticks(datetime.now(UTC))), topic, bootstrap, speed=1.0)
    tell(f"asked for {RATE_PER_S:,} a second", live.acknowledged, live.seconds)
    past = datetime(2026, 11, 20, tzinfo=UTC)
    unpaced = send(generate(ticks(past)), topic, bootstrap)
    tell("without a rate", unpaced.acknowledged, unpaced.seconds)
    client_s = client_alone(list(generate(ticks(past))), bootstrap)
    tell("the client alone, records at hand", COUNT, client_s)
    print(f"without a rate, by the client alone: {client_s / unpaced.seconds:.2f}")


def ticks(start: datetime) -> Settings:
    return Settings(start=start, rate=RATE_PER_S, count=COUNT, seed=7)


def client_alone(records: Iterable[Record], bootstrap: str) -> float:
    """Seconds until all are acknowledged."""
    producer, began = connect(bootstrap, {}), time.monotonic()
    for number, record in enumerate(records):
        while True:
            try:
                producer.produce(stock_ticks.name, record.value, record.key, timestamp=record.timestamp)
                break
            except BufferError:
                producer.poll(0.1)
        if not number % 500:
            producer.poll(0)
    assert producer.flush(60) == 0
    return time.monotonic() - began


def tell(what: str, records: int, seconds: float) -> None:
    print(f"{what}: {records:,} acknowledged in {seconds:.1f} s, {records / seconds:,.0f} a second", flush=True)


if __name__ == "__main__":
    main()
