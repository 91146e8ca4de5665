"""Sending records from a task, with the settings of a form."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from heapq import merge
from pathlib import Path
from typing import Any

from jobs.errors import UsageError
from millrace.home import PROJECT_ROOT

__all__ = ["PRINT_EACH", "SLOW", "produce_ticks", "replay_ticks", "sample_files"]

_SAMPLES = PROJECT_ROOT / "infra" / "local" / "sample_data"
PRINT_EACH = ("when slow", "always", "never")
"""When each delivery gets a line in the task's log, with its partition and offset."""

SLOW = 10
"""Records per second of wall time up to which it is slow."""


def sample_files() -> list[str]:
    """The data that is shipped, by file name."""
    return sorted(path.name for path in _SAMPLES.glob("*") if path.suffix in (".csv", ".parquet"))


def produce_ticks(topic: str, form: Mapping[str, Any], environment: str | None = None) -> dict[str, Any]:
    """Send artificial ticks, live, or of past days as fast as possible where `form` has a `start`; the summary.

    `print_each` of `form` is one of PRINT_EACH.
    """
    from millrace.producers import Settings, generate  # here, as below: parsing a DAG loads no Kafka client

    start = form["start"]
    duration = form["duration_s"]
    settings = Settings(
        start=datetime.fromisoformat(start) if start else datetime.now(UTC),
        rate=form["rate"],
        seed=form["seed"],
        duration=None if duration is None else timedelta(seconds=duration),
        late=form["late"],
        max_delay=timedelta(seconds=form["max_delay_s"]),
        disorder=form["disorder"],
        duplicates=form["duplicates"],
        garbage=form["garbage"],
    )
    if start and duration is None:
        raise UsageError(f"duration_s is empty while start is {start}; past prices have no end; use 86400")
    is_slow = not start and settings.slots_per_second <= SLOW
    each = is_slow if form["print_each"] == "when slow" else form["print_each"] == "always"
    return _send(generate(settings), topic, None if start else 1.0, each, environment)


def replay_ticks(topic: str, file: str | None, speed: float | None, environment: str | None = None) -> dict[str, Any]:
    """Send a shipped file, or all, with their own event times; `speed` is event time per wall time, None: at once."""
    from millrace.producers import Source, replay

    files = [Path(file).name] if file else sample_files()
    records = merge(*(replay(Source(_SAMPLES / name)) for name in files), key=lambda record: record.timestamp)
    return _send(records, topic, speed, False, environment)


def _send(records: Any, topic: str, speed: float | None, each: bool, environment: str | None) -> dict[str, Any]:
    from millrace.environment import load_environment
    from millrace.producers import send
    from millrace.producers.report import EachDelivery, EachSecond, print_summary
    from millrace.producers.stop import stop_on_signals

    found = load_environment(environment)
    with stop_on_signals() as stop:  # a task that is marked ends with an exact summary
        summary = send(
            records,
            topic,
            found.kafka_bootstrap,
            found.kafka_options,
            speed=speed,
            observers=[EachDelivery(sys.stdout)] if each else [],
            progress=None if each else EachSecond(sys.stdout),
            stop=stop,
        )
    print_summary(summary, sys.stdout)
    return summary.as_dict()
