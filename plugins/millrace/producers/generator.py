"""Artificial stock prices: a pure, seeded stream of records. No clock, no Kafka."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from millrace.producers.garbage import MAKERS
from millrace.producers.record import DISORDERED, DUPLICATE, LATE, Record
from millrace.producers.settings import Settings
from millrace.producers.tick import PRICE_SCALE, SECOND, micros, tick_encoder

_LOWEST, _HIGHEST = PRICE_SCALE, 100_000 * PRICE_SCALE


def generate(settings: Settings) -> Iterator[Record]:
    """The records in the order in which they are to be sent; the same settings give the same bytes.

    The Kafka timestamp is the slot's time cut to milliseconds: for ticks that are not late, the event time.
    """
    return _in_sending_order(_made(settings), settings)


def _made(settings: Settings) -> Iterator[Record]:
    """One record per slot, in slot order, each with the kind that chance gave it."""
    chance = random.Random(settings.seed).random
    walks = [_Walk(symbol, chance) for symbol in settings.symbols]
    garbage_below = settings.garbage
    late_below = garbage_below + settings.late
    disordered_below = late_below + settings.disorder
    delay = settings.max_delay // timedelta(microseconds=1)
    for time, walk in zip(_slots(settings), itertools.cycle(walks), strict=False):
        drawn = chance()
        if drawn >= disordered_below:
            yield Record(walk.key, walk.tick(time), time // 1000)
        elif drawn >= late_below:
            yield Record(walk.key, walk.tick(time), time // 1000, kind=DISORDERED)
        elif drawn >= garbage_below:
            event_time = max(0, time - 1 - int(chance() * delay))
            yield Record(walk.key, walk.tick(event_time), time // 1000, kind=LATE)
        else:
            kind = settings.garbage_kinds[int(chance() * len(settings.garbage_kinds))]
            yield Record(walk.key, MAKERS[kind](walk.symbol, time), time // 1000, kind=kind)


def _slots(settings: Settings) -> Iterator[int]:
    """The time of each slot, microseconds since the epoch."""
    start = micros(settings.start)
    step, per = (SECOND / settings.slots_per_second).as_integer_ratio()
    slots: Iterable[int] = itertools.count()
    if settings.duration is not None:
        length = settings.duration // timedelta(microseconds=1)
        slots = range(-(-length * per // step))
    return (start + slot * step // per for slot in slots)


def _in_sending_order(made: Iterator[Record], settings: Settings) -> Iterator[Record]:
    """Hold back what is disordered, send some twice, and stop at `count`."""
    left = settings.count if settings.count is not None else -1
    if not (settings.disorder or settings.duplicates):
        yield from made if left < 0 else itertools.islice(made, left)
        return
    chance = random.Random(settings.seed + 1).random
    held: list[tuple[int, int, Record]] = []
    for position, record in enumerate(made):
        if not left:
            break
        left -= 1
        if left and record.kind not in MAKERS and chance() < settings.duplicates:
            left -= 1
            again = position + 1 + int(chance() * settings.max_distance)
            heapq.heappush(held, (again, position, record._replace(kind=DUPLICATE)))
        if record.kind == DISORDERED:
            heapq.heappush(held, (position + 1 + int(chance() * settings.max_distance), position, record))
        else:
            yield record
        while held and held[0][0] <= position:
            yield heapq.heappop(held)[2]
    yield from (record for *_, record in sorted(held, key=lambda item: item[:2]))


class _Walk:
    """The random walk of one symbol's price: steps of at most 5 hundredths of a percent, between 1 and 100,000."""

    __slots__ = ("_chance", "_encode", "_price", "key", "symbol")

    def __init__(self, symbol: str, chance: Callable[[], float]) -> None:
        self.symbol = symbol
        self.key = symbol.encode()
        self._chance = chance
        self._encode = tick_encoder(symbol)
        self._price = int((20 + 480 * chance()) * PRICE_SCALE)

    def tick(self, time: int) -> bytes:
        """The value of the walk's next step; `time` is the event time in microseconds since the epoch."""
        drawn = self._chance()
        price = self._price
        price += int((drawn - 0.5) * 0.001 * price)
        self._price = price = min(max(price, _LOWEST), _HIGHEST)
        return self._encode(time, price, 1 + int(drawn * 10_000_000) % 1000)
