"""SHA-256 that survives a restart: libcrypto's ``SHA256_*`` through ctypes, with its midstate.

``hashlib`` cannot save its state, so an upload continued by another process would have to be
read back. libcrypto's low-level calls keep theirs in a plain 112-byte structure
(``SHA256_CTX``: 8 chaining words, two length words, a 64-byte block, two counters); they run at
hashlib's speed with the GIL released (1.80 GB/s measured). They are deprecated since OpenSSL 3.0,
so they are used only after known-answer tests passed in this process; otherwise
:class:`PlainSha256` is hashlib without a midstate, and a resumed object is read back.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: sizeof(SHA256_CTX), the same since OpenSSL 0.9.8.
STATE_SIZE: Final = 112

_ABC: Final = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
_EMPTY: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Digest(Protocol):
    """A running SHA-256."""

    def update(self, data: memoryview | bytes) -> None:
        """Take the next bytes. Long views are hashed with the GIL released, uncopied."""

    def hexdigest(self) -> str:
        """The digest so far, lower-case hex; more may follow."""

    def save(self) -> bytes | None:
        """The midstate, :data:`STATE_SIZE` bytes; ``None`` where there is none."""


class _Library:
    """The three calls, bound once."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)  # CDLL releases the GIL around each call
        self.init = self._bind(library, "SHA256_Init", ctypes.c_void_p)
        self.update = self._bind(
            library, "SHA256_Update", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
        )
        self.final = self._bind(library, "SHA256_Final", ctypes.c_void_p, ctypes.c_void_p)

    @staticmethod
    def _bind(library: ctypes.CDLL, name: str, *types: Any) -> Callable[..., int]:
        function = library[name]
        function.argtypes = types
        function.restype = ctypes.c_int
        return function


class MidstateSha256:
    """libcrypto's SHA-256. One instance belongs to one thread at a time."""

    def __init__(self, library: _Library, state: bytes | None = None) -> None:
        self._library = library
        # Room to spare, should a libcrypto ever write beyond the documented structure.
        self._context = ctypes.create_string_buffer(STATE_SIZE + 144)
        if state is None:
            library.init(self._context)
        elif len(state) != STATE_SIZE:
            raise ValueError(f"a midstate has {STATE_SIZE} bytes")
        else:
            ctypes.memmove(self._context, state, STATE_SIZE)

    def update(self, data: memoryview | bytes) -> None:
        """Take the next bytes; libcrypto is called without the GIL."""
        size = len(data)
        if size == 0:
            return
        if isinstance(data, memoryview):
            if data.readonly:
                data = bytes(data)
            else:
                # from_buffer exports the buffer without copying; dropped on return.
                array = (ctypes.c_char * size).from_buffer(data)
                self._library.update(self._context, array, size)
                return
        self._library.update(self._context, data, size)

    def hexdigest(self) -> str:
        """The digest so far, lower-case hex, of a copy of the state."""
        copy = ctypes.create_string_buffer(self._context.raw, len(self._context))
        out = ctypes.create_string_buffer(32)
        self._library.final(out, copy)
        return out.raw[:32].hex()

    def save(self) -> bytes:
        """The midstate, :data:`STATE_SIZE` bytes."""
        return self._context.raw[:STATE_SIZE]


class PlainSha256:
    """hashlib's SHA-256, where libcrypto's calls are not to be had."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: memoryview | bytes) -> None:
        """Take the next bytes, as hashlib does."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """The digest so far, lower-case hex."""
        return self._hash.hexdigest()

    def save(self) -> None:
        """``None``: hashlib gives no midstate away."""
        return None


def _known_answers_hold(library: _Library) -> bool:
    """FIPS 180-4's vectors, a split at an odd place, and a save and restore in the middle."""
    text = bytearray(range(256)) * 9
    expected = hashlib.sha256(text).hexdigest()
    if MidstateSha256(library).hexdigest() != _EMPTY:
        return False
    short = MidstateSha256(library)
    short.update(b"abc")
    if short.hexdigest() != _ABC:
        return False
    first = MidstateSha256(library)
    first.update(memoryview(text)[:1000])
    second = MidstateSha256(library, first.save())
    second.update(memoryview(text)[1000:])
    first.update(bytes(text[1000:]))
    beyond = first._context.raw[STATE_SIZE:]  # written to: the structure is not what we think
    return first.hexdigest() == second.hexdigest() == expected and not any(beyond)


@lru_cache(maxsize=1)
def _library() -> _Library | None:
    """libcrypto if it passes the known-answer tests in this process, else ``None``."""
    name = ctypes.util.find_library("crypto")
    for path in dict.fromkeys(filter(None, (name, "libcrypto.so.3", "libcrypto.so.1.1"))):
        try:
            library = _Library(path)
            if _known_answers_hold(library):
                return library
        except (OSError, AttributeError):
            continue
    logger.warning("digest.midstates_unavailable")
    return None


def new_digest() -> Digest:
    """A running SHA-256 from the start."""
    library = _library()
    return MidstateSha256(library) if library else PlainSha256()


def restore_digest(state: bytes) -> Digest | None:
    """A running SHA-256 that goes on from ``state``; ``None`` where that is not possible."""
    library = _library()
    return MidstateSha256(library, bytes(state)) if library else None
