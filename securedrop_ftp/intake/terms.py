"""The terms of an upload: what its client may send, decided once from what it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import TooLarge, UploadRejected
from securedrop_ftp.intake.replacing import may_replace_any, may_replace_own
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.sizes import PartSizes
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.storage.protocol import Capabilities


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for a new upload and one that is gone on with.

    Attributes:
        policy: what becomes of a name that is taken.
        replace: a file of that name may be replaced, whoever stored it.
        replace_own: only what the account itself stored may be.
        keeps_parts: if it breaks off, its whole parts are kept for its owner to go on with.
        limit: bytes that the file may have; ``None``: no limit but storage's parts.
        sizes: of its parts.
    """

    policy: OverwritePolicy
    replace: bool
    replace_own: bool
    keeps_parts: bool
    limit: int | None
    sizes: PartSizes

    @classmethod
    def of(cls, request: UploadRequest, capabilities: Capabilities, conf: Conf) -> Terms:
        """What the request's principal, the storage and the settings allow.

        Raises:
            UploadRejected: the account lacks a permission.
            TooLarge: more was announced than may come.
        """
        principal = request.principal
        _refuse_without_permission(request)
        sizes = PartSizes(conf, capabilities, request.least)
        limit = _smaller(principal.max_file_size, capabilities.max_object_size)
        if request.least is not None and limit is not None and request.least > limit:
            raise TooLarge(
                f"{request.least} bytes were announced, the limit is {limit}", limit=limit
            )
        return cls(
            policy=principal.overwrite,
            replace=may_replace_any(principal),
            replace_own=may_replace_own(principal),
            keeps_parts=_keeps_parts(request, capabilities),
            limit=limit,
            sizes=sizes,
        )


def _refuse_without_permission(request: UploadRequest) -> None:
    wanted = [Permission.UPLOAD, *([Permission.RESUME] if request.goes_on else [])]
    if not all(map(request.principal.may, wanted)):
        raise UploadRejected(f"no permission to {'resume' if request.goes_on else 'upload'}")


def _keeps_parts(request: UploadRequest, capabilities: Capabilities) -> bool:
    if request.converted:  # where in the client's file its parts end is not known
        return False
    return capabilities.resumable and request.principal.may(Permission.RESUME)


def _smaller(one: int | None, other: int | None) -> int | None:
    """The tighter of two limits."""
    limits = [limit for limit in (one, other) if limit is not None]
    return min(limits) if limits else None
