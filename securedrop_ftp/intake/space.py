"""Room on the disks that an upload needs: refused early, before SQLite has none for its own rows.

Some space is kept (``disk_reserve``) on the disk of the storage location, of the spool, and of the
data directory, where SQLite and the audit spool are. It is asked for before an upload begins, with
the size that the client announced, and again before every part. Parts that other threads of this
process are writing count as written; other processes may dip into the reserve by what they have in
flight.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.disk import lack
from securedrop_ftp.exceptions import StorageFull
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.storage.registry import backend_for

logger = get_logger(__name__)


class Space:
    """The disks of one process. Thread-safe; a look costs a system call a disk."""

    def __init__(self, conf: Conf) -> None:
        self._conf = conf
        self._taking = 0  # bytes that are being written
        self._low = False
        self._lock = threading.Lock()

    def refuse(self, backend: Backend, more: int = 0) -> None:
        """Raises StorageFull unless ``more`` bytes may go to the backend's disks."""
        reserve = self._conf.disk_reserve
        reasons = [lack(disk, more + self._taking, reserve) for disk in disks_of(backend)]
        reason = next(filter(None, [*reasons, lack(self._conf.data_dir, 0, reserve)]), "")
        self._note(reason)
        if reason:
            raise StorageFull(reason)

    def refuse_spool(self, more: int) -> None:
        """The same for the spool of large parts."""
        reason = lack(self._conf.spool, more, self._conf.disk_reserve)
        if reason:
            raise StorageFull(reason)

    @contextmanager
    def taking(self, backend: Backend, more: int) -> Iterator[None]:
        """While the block writes ``more`` bytes.

        Raises:
            StorageFull: there is no room for them.
        """
        self.refuse(backend, more)
        with self._lock:
            self._taking += more
        try:
            yield
        finally:
            with self._lock:
                self._taking -= more

    def _note(self, reason: str) -> None:
        """Into the log when it begins and when it is over."""
        if bool(reason) == self._low:
            return
        self._low = bool(reason)
        if reason:
            logger.error("disk.low", reason=reason)
        else:
            logger.info("disk.room")


def disk_problem(alias: str) -> str:
    """Why uploads to that storage are refused now, as a sentence for the operator; ``""``: they do
    not. Raises SecureDropError where the storage is not usable at all."""
    try:
        Space(get_conf()).refuse(backend_for(alias))
    except StorageFull as exc:
        return f"Uploads to “{alias}” are refused for want of space: {exc}"
    return ""


def disks_of(backend: Backend) -> tuple[Path, ...]:
    """Where the backend writes on this machine."""
    return tuple(map(_path, getattr(backend, "disks", ())))


_path = cache(Path)  # of a few, asked for with every part
