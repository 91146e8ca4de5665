"""A lease on a blob: of all machines one acts at a time. https://learn.microsoft.com/rest/api/storageservices/lease-blob"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

__all__ = ["TERM", "leased"]

TERM = timedelta(seconds=60)
"""After which it ends by itself, unless it is renewed: its holder may die. Azure takes 15 s to 60 s."""

_RENEWALS = 3  # within a term: one that fails is no end yet
_POLL_S = 0.5
_log = logging.getLogger(__name__)


@contextmanager
def leased(blob: BlobClient, term: timedelta = TERM, patience: timedelta = 3 * TERM) -> Iterator[None]:
    """The block has the blob to itself, however long it takes; the blob is made where there is none.

    Raises AzureError, which passes: where others have it for longer than `patience`; and at the end, where the lease
    was lost meanwhile, so that another may have acted at the same time. An error of the block's own comes before that.
    """
    with suppress(ResourceExistsError):
        blob.upload_blob(b"", overwrite=False)
    held = _Held(_acquired(blob, term, patience), blob.url, term / _RENEWALS)
    held.begin()
    try:
        yield
    except BaseException:
        with suppress(AzureError):
            held.end()
        raise
    held.end()


@dataclass
class _Held:
    """A lease that is renewed in a thread of its own: what its holder waits for may take longer than a term."""

    lease: BlobLeaseClient
    url: str
    pause: timedelta
    refusal: HttpResponseError | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self.url}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Gives it back. Raises AzureError where it was lost, or where nobody can tell."""
        self._over.set()
        self._thread.join()
        why: AzureError | None = None
        try:
            self.lease.release()
        except AzureError as error:
            why = error
        if why := self.refusal or why:
            told = f"{self.url}: its lease was lost while it was held ({_first_line(why)}); another may have acted"
            raise AzureError(f"{told} at the same time; try again") from why

    def _renew(self) -> None:
        while not self._over.wait(self.pause.total_seconds()):
            try:
                self.lease.renew()
            except HttpResponseError as error:
                _log.warning("%s: its lease is not renewed: %s", self.url, _first_line(error))
                if error.status_code == 409:  # it is somebody else's, and is not had back
                    self.refusal = error
                    return
            except AzureError as error:  # no answer: the next one may come in time
                _log.warning("%s: its lease is not renewed: %s", self.url, _first_line(error))


def _acquired(blob: BlobClient, term: timedelta, patience: timedelta) -> BlobLeaseClient:
    give_up_at = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return blob.acquire_lease(lease_duration=int(term.total_seconds()))
        except HttpResponseError as error:
            if error.status_code != 409:
                raise
            if time.monotonic() > give_up_at:
                raise AzureError(f"{blob.url}: leased by others for {patience}; try again") from error
        time.sleep(_POLL_S)


def _first_line(error: AzureError) -> str:
    return str(error.message).partition("\n")[0]
