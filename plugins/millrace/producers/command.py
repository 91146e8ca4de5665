"""One command that sends records: where to, what is told of it, and how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NoReturn

import typer

from jobs.errors import MillraceError, UsageError
from millrace.producers.acks import AcksFile
from millrace.producers.deliveries import Observer
from millrace.producers.record import Record
from millrace.producers.report import EachDelivery, EachSecond, print_summary
from millrace.producers.sender import send
from millrace.producers.settings import InvalidSettingsError
from millrace.producers.stop import stop_on_signals
from millrace.producers.summary import DeliveryFailedError, Summary
from millrace.producers.topic import retention

Endpoint = tuple[str, dict[str, str]]


def endpoint(environment: str | None, bootstrap: str | None) -> Endpoint:
    """Where Kafka is, and the client settings to reach it."""
    if bootstrap:
        return bootstrap, {}
    from millrace.environment import load_environment

    found = load_environment(environment)
    return found.kafka_bootstrap, dict(found.kafka_options)


@dataclass(frozen=True)
class Run:
    """Where the records go, how fast, and what is told of them."""

    topic: str
    endpoint: Endpoint
    speed: float | None
    acks_file: Path | None
    each: bool

    def send(self, records: Iterable[Record], progress: bool, as_json: bool) -> Summary:
        stream = sys.stderr if as_json else sys.stdout
        bootstrap, options = self.endpoint
        with ExitStack() as stack:
            observers: list[Observer] = [EachDelivery(stream)] if self.each else []
            if self.acks_file:
                observers.append(stack.enter_context(_acks(self.acks_file)))
            return send(
                self._looked_at(records),
                self.topic,
                bootstrap,
                options,
                speed=self.speed,
                observers=observers,
                progress=EachSecond(stream) if progress else None,
                stop=stack.enter_context(stop_on_signals()),
            )

    def _looked_at(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records, and a warning if Kafka would soon delete the first."""
        records = iter(records)
        first = next(records, None)
        if first is None:
            return
        kept = retention(self.topic, *self.endpoint)
        age = datetime.now(UTC) - datetime.fromtimestamp(first.timestamp / 1000, UTC)
        if kept is not None and age > kept:
            typer.echo(
                f"warning: topic {self.topic!r} keeps records for {kept} and the first one is {age} old; Kafka deletes "
                "older ones when it closes their segment; archive them soon, or set retention.ms=-1",
                err=True,
            )
        yield from chain((first,), records)


def _acks(path: Path) -> AcksFile:
    try:
        return AcksFile(path)
    except OSError as failed:
        raise InvalidSettingsError(
            f"acks file {path}: {failed.strerror}; it must be writable; choose another"
        ) from failed


def finish(summary: Summary, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.as_dict()))
    else:
        print_summary(summary, sys.stdout)


@contextmanager
def exit_codes(as_json: bool) -> Iterator[None]:
    """0 done, 2 bad usage, 1 anything else that Millrace refuses; failed deliveries still print their summary."""
    try:
        yield
    except DeliveryFailedError as failed:
        finish(failed.summary, as_json)
        _fail(failed, 1)
    except MillraceError as failed:
        _fail(failed, 2 if isinstance(failed, UsageError) else 1)


def _fail(error: MillraceError, code: int) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(code)
