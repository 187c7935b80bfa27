"""What an account may do, and what each mode gives by default."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """One thing an account may be allowed to do."""

    UPLOAD = "upload"  # STOR, STOU
    OVERWRITE = "overwrite"  # replace anybody's finished file, where the partner's policy replaces
    RESUME = "resume"  # APPE, REST + STOR on its own suspended uploads
    DOWNLOAD = "download"  # RETR, HASH
    LIST = "list"  # LIST, NLST, MLSD, and SIZE, MDTM, MLST of finished files
    DELETE = "delete"  # DELE
    RENAME = "rename"  # RNFR, RNTO of any file
    RENAME_OWN = "rename_own"  # RNFR, RNTO of what the account itself stored, for a day
    MKDIR = "mkdir"  # MKD
    RMDIR = "rmdir"  # RMD


_P = Permission

#: Mode name to the permissions it gives (docs/howto/partners.md).
DEFAULT_PERMISSIONS: Final[dict[str, frozenset[Permission]]] = {
    "drop": frozenset({_P.UPLOAD, _P.RESUME, _P.RENAME_OWN, _P.MKDIR}),
    "dropbox": frozenset({_P.UPLOAD, _P.RESUME, _P.LIST, _P.RENAME_OWN, _P.MKDIR}),
    "pickup": frozenset({_P.LIST, _P.DOWNLOAD}),
    "exchange": frozenset(Permission),
}
