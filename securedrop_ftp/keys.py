"""One function turns an FTP path into an object key (invariant 4), and one checks a key.

FTP paths are ``/``-separated, absolute or relative to the working directory. ``.`` and ``..`` are
resolved *within the path itself* (RFC 959 CDUP semantics) and can never climb above ``/``; what
storage layers may reinterpret is refused, not repaired: ``\\``, NUL, CR, LF and every other
control character (django-storages turns ``\\`` into ``/``; CVE-2026-30914, CVE-2024-39330).

Unicode has several spellings of some names (é is one character, or e and an accent); they are one
name (:mod:`securedrop_ftp.intake.spelling`). They differ by canonical equivalence alone (UAX #15:
NFC and NFD): that makes no ``/``, dot or control character of another one, as the compatibility
forms do (U+2024 and U+FF0F become ``.`` and ``/`` under NFKC).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from securedrop_ftp.exceptions import BadName, OutsidePrefix

#: First component of everything of ours that is not a finished file.
RESERVED_ROOT: Final = ".securedrop"

#: S3 takes keys of 1 024 bytes, file systems components of 255.
MAX_KEY_BYTES: Final = 1024
MAX_COMPONENT_BYTES: Final = 255

#: What other systems take for a separator, so that it would climb out behind our back.
_FOREIGN_SEPARATOR: Final = "\\"
_NO_NAMES: Final = ("", ".", "..")
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _check_text(text: str) -> None:
    if _FOREIGN_SEPARATOR in text:
        raise BadName("A backslash is not allowed in a name.")
    if text.isascii():
        if not text.isprintable():
            raise BadName("Control characters are not allowed in a name.")
        return
    for char in text:
        if unicodedata.category(char) in _FORBIDDEN_CATEGORIES:
            raise BadName("Control characters are not allowed in a name.")


def _check_component(name: str) -> None:
    if name in _NO_NAMES:
        raise BadName("Empty and dot segments are not allowed in a key.")
    if len(name.encode("utf-8")) > MAX_COMPONENT_BYTES:
        raise BadName(f"A name is longer than {MAX_COMPONENT_BYTES} bytes.")


def _climb(parts: list[str]) -> None:
    if parts:
        parts.pop()


def resolve(cwd: str, argument: str) -> str:
    """The absolute FTP path of ``argument``, seen from ``cwd``.

    Returns text that starts with ``/``, has no dot segments, no double and no trailing ``/``
    (``/`` itself excepted). ``..`` at the top stays at the top.

    Raises:
        BadName: a character or a length that we do not take.
    """
    _check_text(argument)
    path = argument if argument.startswith("/") else f"{cwd}/{argument}"
    parts: list[str] = []
    for name in path.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            _climb(parts)
            continue
        _check_component(name)
        parts.append(name)
    return "/" + "/".join(parts)


def composed(path: str) -> str:
    """A resolved path in the spelling that new names get, NFC (UAX #15). It may have more bytes:
    :func:`key_for` is asked about the result."""
    return unicodedata.normalize("NFC", path)


def spellings(name: str) -> tuple[str, ...]:
    """The spellings of a name under which a file may be stored, as it came first: clients and
    tools write NFC or NFD, and what is stored may be a mixture of both."""
    forms = (name, composed(name), unicodedata.normalize("NFD", name))
    return tuple(dict.fromkeys(forms))


def has_spellings(path: str) -> bool:
    """Whether a path has more than one spelling; ASCII has one."""
    return not path.isascii() and len(spellings(path)) > 1


def key_for(root: str, path: str) -> str:
    """The object key of an absolute FTP ``path`` for an account whose root is ``root``.

    ``/`` is the root itself without its trailing ``/``.

    Raises:
        OutsidePrefix: the result would not lie inside ``root`` (a fault of ours).
        BadName: the key is not one that we take.
    """
    if not path.startswith("/") or path != resolve("/", path):
        raise BadName("The path is not resolved.")
    key = root + path[1:] if path != "/" else root.rstrip("/")
    check_key(key, root)
    return key


def path_for(root: str, key: str) -> str:
    """The FTP path of ``key``; the inverse of :func:`key_for`.

    Raises:
        OutsidePrefix: the key does not lie inside ``root``.
    """
    check_key(key, root)
    return "/" + key[len(root) :]


def check_key(key: str, root: str = "") -> None:
    """Raise unless ``key`` is a key that we take and lies inside ``root`` (or is the root
    itself, without its trailing ``/``)."""
    _check_text(key)
    if key:
        for name in key.split("/"):
            _check_component(name)
        if len(key.encode("utf-8")) > MAX_KEY_BYTES:
            raise BadName(f"The whole path is longer than {MAX_KEY_BYTES} bytes.")
    if root and not (key.startswith(root) or key == root.rstrip("/")):
        raise OutsidePrefix("The key lies outside the partner's prefix.")


def check_prefix(prefix: str) -> None:
    """Raise :class:`BadName` unless ``prefix`` is ``name/`` or ``name/name/`` and so on."""
    if not prefix.endswith("/"):
        raise BadName("A prefix ends in “/”.")
    if prefix.startswith("/"):
        raise BadName("A prefix does not start with “/”.")
    check_key(prefix[:-1])
