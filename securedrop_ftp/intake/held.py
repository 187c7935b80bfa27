"""The parts that storage holds for a ledger row."""

from __future__ import annotations

from uuid import UUID

from securedrop_ftp.intake import tokens
from securedrop_ftp.intake.attempt import object_spec
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Upload
from securedrop_ftp.storage.protocol import Backend, Partial

logger = get_logger(__name__)


def partial_of(row: Upload) -> Partial | None:
    """What storage needs to go on with the row's parts; ``None`` where nothing was begun, or
    where no key of ours opens the token any more."""
    token = tokens.unseal(row.resume_token)
    if not token:
        return None
    spec = object_spec(row.key, row.pk, row.epoch, row.partner.name, row.username)
    return Partial(spec, token)


def forget_parts(row: Upload, backend: Backend) -> None:
    """Let storage discard the parts of a row; what stays behind is swept later. Blocks."""
    discard(partial_of(row), backend, row.pk)


def discard(partial: Partial | None, backend: Backend, upload_id: UUID) -> None:
    """Let storage discard what ``partial`` names; ``None``: nothing was begun. What stays behind
    is swept later. Blocks."""
    if partial is None:
        return
    try:
        backend.abort(partial)
    except Exception as exc:
        logger.warning("upload.parts_left", upload_id=str(upload_id), exc_info=exc)
