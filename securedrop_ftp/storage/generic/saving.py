"""Replacing files and moving directories with nothing but ``save`` and ``delete``.

Nothing that was stored is deleted before its successor or copy is saved, and what was done of a
change that fails is undone.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import IO, Final

from securedrop_ftp.exceptions import Exists, OutcomeUnknown, SecureDropError
from securedrop_ftp.storage.generic.api import StorageApi
from securedrop_ftp.storage.protocol import RESERVED

#: Holds a directory that was made where storage has none.
DIRECTORY_MARKER: Final = ".securedrop-directory"


def save(api: StorageApi, key: str, content: IO[bytes], size: int, *, taken: bool) -> None:
    """Publish ``content`` at ``key``; ``taken``: over the file that is there.

    Raises:
        OutcomeUnknown: the storage overwrites by itself, and failed at that.
    """
    if not taken:
        _save_new(api, key, content, size)
    elif api.overwrites(key):
        try:
            api.save(key, content, size)
        except SecureDropError as exc:
            raise OutcomeUnknown(str(exc)) from exc
    else:
        _exchange(api, key, content, size)


def _save_new(api: StorageApi, key: str, content: IO[bytes], size: int) -> None:
    try:
        api.save(key, content, size)
    except Exists:
        raise
    except SecureDropError:
        api.discard(key)  # nothing was there: what is there now is half a file
        raise


def _exchange(api: StorageApi, key: str, content: IO[bytes], size: int) -> None:
    """Replace a file where ``save`` would choose another name. The old file is copied aside until
    the new one is saved, and put back if that fails."""
    aside = f"{RESERVED}{uuid.uuid4()}.replaced"
    api.copy(key, aside)
    try:
        api.delete(key)
        try:
            _save_new(api, key, content, size)
        except SecureDropError:
            api.copy(aside, key)
            raise
    finally:
        api.discard(aside)


def copy_directory(api: StorageApi, source: str, target: str) -> list[str]:
    """Copy everything under ``source`` to ``target``; what was copied, as what follows ``source``.
    If a copy fails the copies made are removed again."""
    files = list(below(api, source))
    copied: list[str] = []
    try:
        for name in files:
            copied.append(target + name)
            api.copy(source + name, target + name)
    except SecureDropError:
        for name in copied:
            api.discard(name)
        raise
    return files


def below(api: StorageApi, key: str, name: str = "") -> Iterator[str]:
    """Every file under ``key``, markers too, as what follows ``key``. An empty directory without
    a marker is given one."""
    directories, files = api.names(key + name)
    if name and not directories and not files:
        mark_directory(api, key + name)
        files = [DIRECTORY_MARKER]
    for file in files:
        yield f"{name}/{file}"
    for directory in directories:
        yield from below(api, key, f"{name}/{directory}")


def mark_directory(api: StorageApi, key: str) -> None:
    """Make a directory by a hidden file in it."""
    api.save(f"{key}/{DIRECTORY_MARKER}", io.BytesIO(b""), 0)


def remove_empty(api: StorageApi, key: str) -> None:
    """Where storage has real directories the tree ``key`` is left empty; ``delete`` may take it."""
    for name in api.names(key)[0]:
        remove_empty(api, f"{key}/{name}")
    api.discard(key)
