"""Looking at Azure again and again, without holding up the triggerer's event loop."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from millrace.azure.hook import ResourceManagerHook

__all__ = ["AzureTrigger"]

_REFUSALS = 3


class AzureTrigger(BaseTrigger):
    """Fires what `look` returns once that is not None, together with the arguments named in `subject`.

    It looks every `poll_s`, first after `settle_s`: see `millrace.triggers.watch.job_end`. An Azure that does not
    answer is asked again, for ever. One that refuses three times in a row ends the wait: `{"state": "Lost", "reason"}`.
    """

    subject: ClassVar[tuple[str, ...]]

    def __init__(self, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s

    @abstractmethod
    def look(self) -> Mapping[str, Any] | None:
        """How it ended; None while it goes on. Asks Azure, and blocks."""

    def hook(self) -> ResourceManagerHook:
        """The connection to Azure."""
        from millrace.azure.hook import ResourceManagerHook

        return ResourceManagerHook(self.conn_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = (*self.subject, "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", self._named(names)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        found = await self._outcome()
        yield TriggerEvent({**self._named(self.subject), **found})  # type: ignore[no-untyped-call]

    async def _outcome(self) -> Mapping[str, Any]:
        from millrace.azure.asking import PassingError, RefusedError

        refusals, wait_s = 0, self.settle_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = self.poll_s
            try:
                found = await asyncio.to_thread(self.look)
            except PassingError as error:
                self.log.warning("%s; asking again", error)
                continue
            except RefusedError as error:
                refusals += 1
                self.log.warning("%s", error)
                if refusals >= _REFUSALS:
                    return {"state": "Lost", "reason": str(error)}
                continue
            refusals = 0
            if found is not None:
                return found

    def _named(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}
