"""`millrace produce` and `millrace replay`: records for a topic, artificial or real."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from millrace.producers.arguments import parse_duration, parse_list, parse_pairs, parse_speed, parse_start
from millrace.producers.garbage import MAKERS
from millrace.producers.settings import SYMBOLS, InvalidSettingsError

__all__ = ["register"]

_LINE_EACH_UP_TO = 50
"""Records per second of wall time up to which each delivery gets a line of its own, unless told otherwise."""

Topic = Annotated[str, typer.Option(help="The topic to write to.")]
Environment = Annotated[str | None, typer.Option(help="A file of infra/environments; default: the current one.")]
Bootstrap = Annotated[str | None, typer.Option(help="HOST:PORT of a Kafka broker, instead of the environment's.")]
Speed = Annotated[str | None, typer.Option(help="Event time per wall time: 1 real time, 60 a minute a second, or max.")]
Acks = Annotated[Path | None, typer.Option(help="Write each acknowledged delivery to this file, as JSON lines.")]
Verbose = Annotated[
    bool | None, typer.Option("--verbose/--quiet", help="A line for each delivery, or only the summary.")
]
Json = Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout; everything else goes to stderr.")]


def register(app: typer.Typer) -> None:
    """Add both commands to `app`."""
    app.command(name="produce", epilog=PRODUCE_EXAMPLES)(produce)
    app.command(name="replay", epilog=REPLAY_EXAMPLES)(replay_file)


PRODUCE_EXAMPLES = """Examples:\n
millrace produce — a price for each of ten symbols every 10 seconds, until Ctrl-C\n
millrace produce --rate 100000 --duration 60s — 100,000 prices a second for a minute\n
millrace produce --start 2026-11-18T00:00:00Z --duration 3d --rate 10 — three past days, as fast as possible\n
millrace produce --rate 100 --late 0.05 --max-delay 10m --duplicates 0.01 --garbage 0.01 --count 10000 — a bad day
"""

REPLAY_EXAMPLES = """Examples:\n
millrace replay ticks.csv — a file with the columns symbol, event_time, price and volume\n
millrace replay spy.csv --set symbol=SPY --map price=close --time-column ts --time-zone America/New_York\n
millrace replay ticks.parquet --speed 60 — an hour in a minute
"""


def produce(
    topic: Topic = "stock_ticks",
    rate: Annotated[float | None, typer.Option(help="Prices per second; default: each symbol every 10 s.")] = None,
    symbols: Annotated[str, typer.Option(help="Symbols, with commas between.")] = ",".join(SYMBOLS),
    count: Annotated[int | None, typer.Option(help="Stop after this many records.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this much event time: 90s, 2h, 3d.")] = None,
    start: Annotated[str | None, typer.Option(help="Event time of the first price; default: now, live.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same records.")] = 0,
    late: Annotated[float, typer.Option(help="Fraction of prices that are late.")] = 0.0,
    max_delay: Annotated[str, typer.Option(help="How late at most.")] = "5m",
    disorder: Annotated[float, typer.Option(help="Fraction of prices sent after their turn.")] = 0.0,
    max_distance: Annotated[int, typer.Option(help="By how many records at most.")] = 100,
    duplicates: Annotated[float, typer.Option(help="Fraction of prices sent twice.")] = 0.0,
    garbage: Annotated[float, typer.Option(help="Fraction of records that cannot be decoded.")] = 0.0,
    garbage_kinds: Annotated[str, typer.Option(help="Kinds of garbage.")] = ",".join(MAKERS),
    speed: Speed = None,
    acks_file: Acks = None,
    verbose: Verbose = None,
    as_json: Json = False,
    environment: Environment = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Send artificial stock prices, live or of past days, and report partition and offset of each delivery."""
    from millrace.producers import Settings, generate  # here, as below: the help loads no client of Kafka
    from millrace.producers.command import Run, endpoint, exit_codes, finish

    with exit_codes(as_json):
        settings = Settings(
            start=parse_start(start) if start else datetime.now(UTC),
            symbols=parse_list(symbols),
            rate=rate,
            seed=seed,
            count=count,
            duration=parse_duration("duration", duration) if duration else None,
            late=late,
            max_delay=parse_duration("max-delay", max_delay),
            disorder=disorder,
            max_distance=max_distance,
            duplicates=duplicates,
            garbage=garbage,
            garbage_kinds=parse_list(garbage_kinds),
        )
        pace = parse_speed(speed) if speed else (None if start else 1.0)
        if pace is None and count is None and duration is None:
            raise InvalidSettingsError(
                "count and duration are missing; without waiting there is no end; add --duration 1d"
            )
        slow = pace is not None and settings.slots_per_second * pace <= _LINE_EACH_UP_TO
        run = Run(topic, endpoint(environment, bootstrap), pace, acks_file, slow if verbose is None else verbose)
        finish(run.send(generate(settings), progress=verbose is None and not slow, as_json=as_json), as_json)


def replay_file(
    file: Annotated[Path, typer.Argument(help="A .csv or .parquet file.")],
    topic: Topic = "stock_ticks",
    map_: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN, for fields named otherwise.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE, one value for all rows.")] = None,
    time_column: Annotated[str | None, typer.Option(help="The column of the event time.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Zone of times without an offset: America/New_York.")] = None,
    time_unit: Annotated[str | None, typer.Option(help="Times are numbers since 1970 in s, ms or us.")] = None,
    time_format: Annotated[str | None, typer.Option(help="How times are written: '%m/%d/%Y %H:%M'.")] = None,
    round_prices: Annotated[bool, typer.Option("--round-prices", help="Round prices to 4 decimals.")] = False,
    speed: Speed = None,
    acks_file: Acks = None,
    verbose: Verbose = None,
    as_json: Json = False,
    environment: Environment = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Send real data from a file in event-time order, with its own times."""
    from millrace.producers import Source, replay
    from millrace.producers.command import Run, endpoint, exit_codes, finish

    with exit_codes(as_json):
        columns = dict(parse_pairs("--map", map_ or []))
        if time_column:
            columns["event_time"] = time_column
        constants = parse_pairs("--set", set_ or [])
        source = Source(file, columns, constants, time_zone, time_unit, time_format, round_prices)
        pace = parse_speed(speed) if speed else None
        run = Run(topic, endpoint(environment, bootstrap), pace, acks_file, bool(verbose))
        finish(run.send(replay(source), progress=verbose is None, as_json=as_json), as_json)
