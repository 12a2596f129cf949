"""Everything that manages an archive: its ledger, the `mgmt/bpl` calls, reports, metrics and who may do what."""

from archiver.management.ledger import Identity, Job, Ledger, LedgerError, LedgerView, PvEntry, Request

__all__ = ["Identity", "Job", "Ledger", "LedgerError", "LedgerView", "PvEntry", "Request"]
