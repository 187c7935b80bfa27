"""Names and texts of ours as every storage takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from securedrop_ftp.exceptions import BadName

_UPLOAD_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
#: Printable ASCII but "%": object metadata is US-ASCII (RFC 9110 §5.5), and the clients refuse
#: anything else.
_SAFE: Final = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")


def is_upload_id(name: str) -> bool:
    """Letters, digits, ``-`` and ``_``: it can be a part of names in every storage."""
    return _UPLOAD_ID.match(name) is not None


def check_upload_id(upload_id: str) -> str:
    """``upload_id`` itself.

    Raises:
        BadName: it cannot be a part of names in storage.
    """
    if not is_upload_id(upload_id):
        raise BadName("That is not an upload id.")
    return upload_id


def prefix_of(location: object) -> str:
    """What keys begin with under the ``location`` of a Django storage: ``""``, or it ends in
    ``/``."""
    folder = str(location or "").strip("/")
    return f"{folder}/" if folder else ""


def encode_metadata(values: Mapping[str, str]) -> dict[str, str]:
    """Metadata as object stores take it: what is not printable ASCII is percent-encoded, and what
    is empty is left out."""
    return {name: quote(value, safe=_SAFE) for name, value in values.items() if value}


def decode_metadata(values: Mapping[str, str]) -> dict[str, str]:
    """The inverse of :func:`encode_metadata`."""
    return {name: unquote(value) for name, value in values.items()}
