"""A partner's prefix and storage stay where its files are."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError

from securedrop_ftp.exceptions import NotFound, SecureDropError
from securedrop_ftp.models import Partner, Upload, UploadState
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.storage.registry import backend_for

#: Directories looked into before a prefix is taken to hold files.
_MOST: Final = 1000
_UNFINISHED: Final = (UploadState.RECEIVING, UploadState.PUBLISHING, UploadState.SUSPENDED)


def refuse_to_leave_files(partner: Partner, prefix: str, storage: str) -> None:
    """Raise ValidationError if ``partner`` (as it is in the database) would be moved away from
    files, finished or not. Asks storage; an alias that is gone holds nothing that we could see."""
    wanted = (prefix or f"{partner.name}/").rstrip("/")
    if (wanted, storage) == (partner.prefix.rstrip("/"), partner.storage):
        return
    if Upload.objects.filter(partner=partner, state__in=_UNFINISHED).exists():
        raise ValidationError(
            f"“{partner.prefix}” has uploads that are not finished. Wait for them, or for the end "
            "of the partner's resume window."
        )
    if partner.storage not in settings.STORAGES:
        return
    try:
        holds = _holds_files(backend_for(partner.storage), partner.prefix)
    except SecureDropError as exc:
        raise ValidationError(
            f"Whether “{partner.prefix}” holds files cannot be seen now: {exc}. Try again later."
        ) from exc
    if holds:
        raise ValidationError(
            f"“{partner.prefix}” in storage “{partner.storage}” holds files, which would not go "
            "along. Move them to the new place first, or make a partner for the new place and "
            "disable this one."
        )


def _holds_files(backend: Backend, prefix: str) -> bool:
    waiting, looked = [prefix.rstrip("/")], 0
    while waiting and looked < _MOST:
        looked += 1
        try:
            for page in backend.scandir(waiting.pop()):
                if any(not entry.is_dir for entry in page):
                    return True
                waiting += [entry.key for entry in page]
        except NotFound:
            continue
    return bool(waiting)
