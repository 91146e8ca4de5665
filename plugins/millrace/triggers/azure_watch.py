"""Looking at Azure again and again, without holding up the triggerer's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from millrace.triggers.watch import Log

__all__ = ["outcome"]

_REFUSALS = 3


async def outcome(
    look: Callable[[], Mapping[str, Any] | None], log: Log, *, settle: timedelta, poll: timedelta
) -> dict[str, Any]:
    """What `look`, which blocks, returns once it is not None. It is called every `poll`, first after `settle`: see
    `millrace.triggers.watch.job_end`.

    An Azure that does not answer is asked again, for ever. One that refuses three times in a row ends the wait:
    `{"state": "Lost", "reason"}`.
    """
    from millrace.azure.asking import PassingError, RefusedError

    refusals, wait = 0, settle
    while True:
        await asyncio.sleep(wait.total_seconds())
        wait = poll
        try:
            found = await asyncio.to_thread(look)
        except PassingError as error:
            log.warning("%s; asking again", error)
            continue
        except RefusedError as error:
            refusals += 1
            log.warning("%s", error)
            if refusals >= _REFUSALS:
                return {"state": "Lost", "reason": str(error)}
            continue
        refusals = 0
        if found is not None:
            return dict(found)
