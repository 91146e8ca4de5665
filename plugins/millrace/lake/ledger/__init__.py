"""The ledger of a topic: which offsets the raw archive holds, and what each gap between them is."""

from millrace.lake.ledger.entries import Entry, Ledger
from millrace.lake.ledger.update import LedgerReport, update_ledger

__all__ = ["Entry", "Ledger", "LedgerReport", "update_ledger"]
