"""Whose TLS sessions a data channel may resume: those of its *family*, in shared memory.

A family is the live control connections of one account from one exact address, on all workers of a
node: clients like ``curl -Z`` keep one TLS session for a server and offer on a data channel
whichever came last. Each connection has a record under its slot (:mod:`.connections`): its session
id context and page (:mod:`securedrop_ftp.tls.pages`), and for a TLS 1.2 session without a ticket
the session itself, since that is known by its id in one worker's memory only.

What stands here opens data channels. It is wiped when its connection ends, and core dumps leave it
out.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
import struct
from array import array
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.ftps.kinship import MAX_FAMILY, Member
from securedrop_ftp.process_lock import ProcessLock
from securedrop_ftp.tls.openssl import SID

_IP: Final = 16
_PAGE: Final = 4
_ACCOUNT: Final = 8
_STRANGER: Final = bytes(_ACCOUNT)  # not logged in yet
#: Account, sid, whether TLS 1.3, session id, length of the session, session.
_RECORD: Final = struct.Struct(f"<{_ACCOUNT}s{SID}s?32sH256s")
#: A longer session is known to its own worker only.
_MAX_SESSION: Final = 256


def exact(address: str) -> bytes:
    """16 bytes, never all zeros: an IPv4 address in its mapped form. (Caps count an IPv6 /64 as one
    source; here a neighbour in it is another client.)"""
    ip = network.normalise(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + ip.packed
    return ip.packed


class Families:
    """Made by the supervisor before the fork, for one generation: the next has other ticket keys. A
    slot is written by its own worker only; ``connection_id`` is that of
    :class:`.connections.ConnectionTable` for as many workers and slots, in any bank."""

    def __init__(self, workers: int, slots: int) -> None:
        self._slots, self._total = slots, workers * slots
        # Three arrays: addresses, pages (their number plus one; 0: no record), records.
        self._pages = self._total * _IP
        self._records = self._pages + self._total * _PAGE
        size = self._records + self._total * _RECORD.size
        self._fd = os.memfd_create("securedrop-families", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._map.madvise(mmap.MADV_DONTDUMP)
        self._lock = ProcessLock(self._fd)

    # --- a connection's life ---------------------------------------------------------

    def join(self, connection_id: int, address: str, member: Member) -> None:
        """A control connection's handshake is done."""
        slot = connection_id % self._total
        session = member.session if len(member.session) <= _MAX_SESSION else b""
        known = (member.session_id, len(session), session) if session else (b"", 0, b"")
        record = _RECORD.pack(_STRANGER, member.sid, member.tls13, *known)
        with self._lock.held():
            self._put(self._records, slot, record)
            self._put(self._pages, slot, (member.page + 1).to_bytes(_PAGE, "little"))
            self._put(0, slot, exact(address))

    def prove(self, connection_id: int, account_id: int) -> None:
        """It has logged in."""
        at = self._records + connection_id % self._total * _RECORD.size
        with self._lock.held():
            self._map[at : at + _ACCOUNT] = account_id.to_bytes(_ACCOUNT, "little")

    def leave(self, connection_id: int) -> None:
        """It ends: from now on nobody resumes its session."""
        with self._lock.held():
            self._wipe(connection_id % self._total, 1)

    def clear_worker(self, worker: int) -> None:
        """The worker died: its connections did too."""
        with self._lock.held():
            self._wipe(worker * self._slots, self._slots)

    # --- questions -------------------------------------------------------------------

    def of(self, connection_id: int) -> list[Member]:
        """The family of a connection that has logged in, itself first; then others of its address
        that have not logged in yet and may do so as this account. At most :data:`MAX_FAMILY`."""
        own = connection_id % self._total
        with self._lock.held():
            ip = self._get(0, own, _IP)
            records = {slot: self._get(self._records, slot, _RECORD.size) for slot in self._at(ip)}
            pages = {slot: self._get(self._pages, slot, _PAGE) for slot in records}
        account = records[own][:_ACCOUNT] if own in records else _STRANGER
        if account == _STRANGER:
            return []
        slots = [slot for slot, record in records.items() if _is_of(record, account)]
        slots.sort(key=lambda slot: slot != own)
        slots += [slot for slot, record in records.items() if record[:_ACCOUNT] == _STRANGER]
        return [_member(records[slot], pages[slot]) for slot in slots[:MAX_FAMILY]]

    def oldest_page(self) -> int | None:
        """The oldest page that a live connection was made under. A look, without the lock."""
        pages = array("I", self._map[self._pages : self._records])
        oldest = min(filter(None, pages), default=0)
        return oldest - 1 if oldest else None

    def _at(self, ip: bytes) -> list[int]:
        """The slots of an address."""
        found: list[int] = []
        at = self._map.find(ip, 0, self._pages) if any(ip) else -1
        while at >= 0:
            slot, beside = divmod(at, _IP)
            if not beside:
                found.append(slot)
            at = self._map.find(ip, (slot + 1) * _IP if not beside else at + 1, self._pages)
        return found

    def _get(self, array_at: int, slot: int, size: int) -> bytes:
        return self._map[array_at + slot * size : array_at + (slot + 1) * size]

    def _put(self, array_at: int, slot: int, item: bytes) -> None:
        at = array_at + slot * len(item)
        self._map[at : at + len(item)] = item

    def _wipe(self, slot: int, slots: int) -> None:
        for array_at, size in ((0, _IP), (self._pages, _PAGE), (self._records, _RECORD.size)):
            at = array_at + slot * size
            self._map[at : at + slots * size] = bytes(slots * size)


def _is_of(record: bytes, account: bytes) -> bool:
    return record[:_ACCOUNT] == account


def _member(record: bytes, page: bytes) -> Member:
    account, sid, tls13, session_id, length, session = _RECORD.unpack(record)
    return Member(
        page=int.from_bytes(page, "little") - 1,
        sid=sid,
        tls13=tls13,
        session_id=session_id if length else b"",
        session=session[:length],
        proved=account != _STRANGER,
    )
