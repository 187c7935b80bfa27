"""Django signals of the service, and :func:`emit`, the one way to send them.

Every signal is sent with ``event=`` an :class:`securedrop_ftp.events.Event`, after the outcome
and never before it, on a thread that may block (never on the event loop). For the acts whose
reply depends on the audit row (uploads), :func:`emit` runs inside the database transaction that
makes the outcome durable, so the row and the ledger commit together.

Receivers of other apps may raise: that is logged and changes nothing. The audit receiver alone
must succeed; if it does not, :class:`~securedrop_ftp.exceptions.AuditUnavailable` is raised.
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

from securedrop_ftp.events import EVENT_NAMES, Event
from securedrop_ftp.exceptions import AuditUnavailable
from securedrop_ftp.log import get_logger
from securedrop_ftp.metrics import metrics

logger = get_logger(__name__)

session_opened = Signal()
session_closed = Signal()
login_succeeded = Signal()
login_failed = Signal()
login_locked = Signal()
upload_committed = Signal()
upload_suspended = Signal()
upload_resumed = Signal()
upload_aborted = Signal()
upload_rejected = Signal()
download_completed = Signal()
download_aborted = Signal()
file_deleted = Signal()
file_renamed = Signal()
directory_created = Signal()
directory_removed = Signal()
access_denied = Signal()
refusals_counted = Signal()
account_changed = Signal()
partner_changed = Signal()
storage_adopted = Signal()

#: Event name to signal: ``upload.committed`` is sent as :data:`upload_committed`.
BY_NAME: Final[dict[str, Signal]] = {
    name: globals()[name.replace(".", "_")] for name in EVENT_NAMES
}

#: Receivers that hold this attribute must not fail (see :func:`emit`).
REQUIRED: Final = "securedrop_required"


def _count(event: Event) -> None:
    metrics.add("securedrop_events_total", event=event.name, outcome=event.outcome)
    if event.name == "upload.committed":
        metrics.add("securedrop_upload_bytes_total", event.size or 0)
    elif event.name.startswith("download."):
        metrics.add("securedrop_download_bytes_total", event.size or 0)


def emit(event: Event) -> None:
    """Send ``event`` to its signal's receivers.

    Raises:
        AuditUnavailable: a required receiver (the audit trail) failed.
    """
    _count(event)
    failed: Exception | None = None
    for receiver, result in BY_NAME[event.name].send_robust(sender=Event, event=event):
        if isinstance(result, Exception):
            if getattr(receiver, REQUIRED, False):
                failed = result
            else:
                logger.error("signal.receiver_failed", signal_name=event.name, exc_info=result)
    if failed is not None:
        raise AuditUnavailable(f"the audit row of {event.name} was not written") from failed
