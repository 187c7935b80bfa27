"""The audit trail: signal to log line and row, the chain, export, and a spool for bad days."""

from __future__ import annotations

from securedrop_ftp.audit.spool import record, record_within, replay

__all__ = ["record", "record_within", "replay"]
