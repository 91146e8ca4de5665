"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.errors import UsageError

__all__ = ["parse_moment"]


def parse_moment(name: str, text: str) -> datetime:
    """ISO 8601 as UTC; without a zone it is UTC already. Raises UsageError, which names what it was given for."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a time; write it as 2026-11-20 or 2026-11-20T14:30") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
