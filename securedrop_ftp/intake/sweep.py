"""Sweeping: suspended uploads past their window, and orphans that storage still holds.

The ledger row is written before storage is asked to begin, so whatever carries our marks and has
no live or suspended row is an orphan. Marks whose id the ledger has never seen are left alone
for a week: another service with a ledger of its own may share the bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from securedrop_ftp import clock
from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake import ledger, takeover
from securedrop_ftp.intake.held import forget_parts
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Partner, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.storage.protocol import Backend

logger = get_logger(__name__)

#: An unfinished upload of an unknown ledger is an orphan after this long.
STRANGER_AGE: Final = timedelta(days=7)

WANTED: Final = (*LIVE, UploadState.SUSPENDED)


@dataclass(slots=True)
class Pruned:
    """What a sweep did; ``failed`` names storages that did not answer."""

    expired: int = 0
    swept: int = 0
    failed: list[str] = field(default_factory=list)


def prune(book: Ledger, backend_for: Callable[[str], Backend], conf: Conf) -> Pruned:
    """Discard what is expired, then sweep each storage that partners use. Blocks."""
    done = Pruned()
    for row in _expired(conf):
        if book.run(partial(takeover.discard_suspended, row, "the resume window is over")):
            logger.info("upload.expired", upload_id=str(row.pk), path=row.path)
            done.expired += 1
            try:
                forget_parts(row, backend_for(row.storage))
            except Exception as exc:
                logger.warning("upload.parts_left", upload_id=str(row.pk), exc_info=exc)
    for alias in _aliases():
        try:
            done.swept += _sweep(backend_for(alias))
        except Exception as exc:
            known = isinstance(exc, SecureDropError)  # then its sentence says it all
            reason = {"reason": str(exc)} if known else {"exc_info": exc}
            logger.error("storage.not_swept", storage=alias, **reason)
            done.failed.append(alias)
    return done


def _expired(conf: Conf) -> list[Upload]:
    now = clock.now()
    rows = Upload.objects.filter(state=UploadState.SUSPENDED).select_related("partner")
    return [
        row
        for row in rows.defer("parts", "digest_state")
        if now - row.updated > timedelta(seconds=_window(row.partner, conf))
    ]


def _window(partner: Partner, conf: Conf) -> int:
    return conf.resume_window if partner.resume_window is None else partner.resume_window


def _aliases() -> list[str]:
    """The storages of partners and of the ledger."""
    used = set(Partner.objects.order_by().values_list("storage", flat=True))
    return sorted(used | set(_storages_of_the_ledger()))


def _storages_of_the_ledger() -> Iterator[str]:
    """One look into an index for each: DISTINCT would read the whole ledger, every hour."""
    last = ""
    while True:
        rows = Upload.objects.filter(storage__gt=last).order_by("storage")
        found = rows.values_list("storage", flat=True).first()
        if found is None:
            return
        yield found
        last = found


def _sweep(backend: Backend) -> int:
    now = clock.now()
    ended = backend.sweep(lambda upload_id: not _is_ended(upload_id), older_than=now)
    return ended + backend.sweep(_is_wanted, older_than=now - STRANGER_AGE)


def _state(upload_id: str) -> str | None:
    try:
        return ledger.state_of(UUID(upload_id))
    except ValueError:
        return None


def _is_ended(upload_id: str) -> bool:
    state = _state(upload_id)
    return state is not None and state not in WANTED


def _is_wanted(upload_id: str) -> bool:
    return _state(upload_id) in WANTED
