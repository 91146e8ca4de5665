"""From a file's cells to a tick's fields: text, exact numbers, instants. Each rule says why it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from millrace.producers.tick import PRICE_SCALE, micros

_LARGEST = 10**18
_YEAR_10000 = 253_402_300_800_000_000

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Units of numeric times -> microseconds. Nanoseconds are refused: a tick holds microseconds."""


class RefusedError(ValueError):
    """A cell breaks a rule. The text is "rule; remedy"; the caller adds file, line, column and value."""


def text(cell: object) -> str:
    """A symbol: not empty."""
    found = str(cell).strip() if cell is not None else ""
    if not found:
        raise RefusedError("a symbol is not empty; fill it in, or give one for the file with --set symbol=NAME")
    return found


def price(cell: object, rounded: bool) -> int:
    """Ten-thousandths, exactly; `rounded` allows more than four decimals (half to even)."""
    exact = _decimal(cell) * PRICE_SCALE
    whole = exact.to_integral_value(ROUND_HALF_EVEN)
    if whole != exact and not rounded:
        raise RefusedError("a price has at most 4 decimals; allow rounding with --round-prices")
    if abs(whole) >= _LARGEST:
        raise RefusedError("a price has at most 14 digits before the point; correct it")
    return int(whole)


def volume(cell: object) -> int:
    """A whole number that fits 64 bits."""
    exact = _decimal(cell)
    if exact != exact.to_integral_value():
        raise RefusedError(
            "a volume is a whole number; map another column, or give one for the file with --set volume=0"
        )
    if abs(exact) >= 2**63:
        raise RefusedError("a volume fits in 64 bits; correct it")
    return int(exact)


def instant(cell: object, zone: ZoneInfo | None, unit: str | None = None, form: str | None = None) -> int:
    """Microseconds since the epoch, from 1970 to 9999.

    Of ISO 8601 text, or text as `form` says; of a date (its midnight) or a timestamp; or of a number in `unit`.
    `zone` is for times without an offset; local times that a clock change skips or repeats are refused.
    """
    if unit is not None:
        found = int((_decimal(cell) * UNITS[unit]).to_integral_value(ROUND_HALF_EVEN))
    else:
        found = micros(_with_zone(_datetime(cell, form), zone))
    if not 0 <= found < _YEAR_10000:
        raise RefusedError("a time lies between 1970 and 9999; correct it, or name another --time-unit (s, ms, us)")
    return found


def _decimal(cell: object) -> Decimal:
    try:
        number = Decimal(str(cell).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise RefusedError("a number is needed; correct it, or map another column with --map")
    return number


def _datetime(cell: object, form: str | None) -> datetime:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    written = str(cell).strip()
    try:
        return datetime.strptime(written, form) if form else datetime.fromisoformat(written)
    except ValueError:
        raise RefusedError(
            f"a time is {f'written as {form}' if form else 'ISO 8601, such as 2026-11-20T14:30:00Z'}; "
            "correct it, or say how it is written with --time-format or --time-unit"
        ) from None


def _with_zone(time: datetime, zone: ZoneInfo | None) -> datetime:
    if time.tzinfo is not None:
        return time
    if zone is None:
        raise RefusedError("a time without an offset needs a zone; give one with --time-zone, such as America/New_York")
    offsets = {time.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(offsets) > 1:
        raise RefusedError(
            f"the clocks of {zone.key} skip or repeat this time; write it with its offset, such as -05:00"
        )
    return (time - (offsets.pop() or timedelta(0))).replace(tzinfo=UTC)
