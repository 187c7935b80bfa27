"""Ranges of downloads: as long as they are worth their memory, however many go on at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

from securedrop_ftp.conf import Conf
from securedrop_ftp.engine.reads import ReadBudget
from securedrop_ftp.ftps.downloads import FIRST_RANGE, RangeSource
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.server.allocator import KEPT
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.protocol import Capabilities, Entry
from securedrop_ftp.storage.s3.backend import S3Backend

MIB = 1024 * 1024
SIZE = 64 * MIB
LONGEST = Conf().read_range
OF_A_DIRECTORY = FilesystemBackend.capabilities.longest_read or 0
ZEROS = memoryview(bytes(8 * MIB))


class Downloads:
    """Downloads of one partner, in turn, from a storage that gives zeros at once. ``lengths`` are
    of all their ranges; ``most`` is what was held ahead at once, bytes."""

    def __init__(self, capabilities: Capabilities, budget: int, conf: Conf | None = None) -> None:
        self.lengths: list[int] = []
        self.held = self.most = 0
        storage = SimpleNamespace(read=self._read, capabilities=capabilities)
        self._session = SimpleNamespace(
            conf=conf or Conf(),
            principal=SimpleNamespace(partner="acme"),
            fs=SimpleNamespace(storage=storage),
            runtime=SimpleNamespace(reads=ReadBudget(budget), storage=self._job),
        )

    def _read(self, _entry: Entry, _offset: int, length: int) -> memoryview:
        return ZEROS[:length]

    def _job(self, _partner: str, read: Callable[..., Any], *args: Any) -> Future[Any]:
        self.lengths.append(args[-1])
        self.held += args[-1]
        self.most = max(self.most, self.held)
        future: Future[Any] = Future()
        future.set_result(read(*args))
        return future

    def run(self, count: int = 8) -> None:
        """``count`` of them take a range each in turn, up to the end."""
        session = cast(LoggedIn, self._session)
        entry = Entry(key="acme/long.bin", is_dir=False, size=SIZE)
        sources = [RangeSource(session, entry, 0) for _ in range(count)]
        while sources:
            for source in list(sources):
                data = source.next()
                assert data is not None
                self.held -= len(data)
                if not data:
                    sources.remove(source)


def undivided(longest: int = LONGEST) -> list[int]:
    """The ranges of one download that has room: each four times as long as the one before."""
    lengths: list[int] = []
    length = FIRST_RANGE
    while left := SIZE - sum(lengths):
        lengths.append(min(length, left))
        length = min(4 * length, longest)
    return lengths


def test_eight_downloads_of_a_partner_from_a_directory_shorten_no_range() -> None:
    downloads = Downloads(FilesystemBackend.capabilities, Conf().worker_memory // 2)
    downloads.run(8)
    assert sorted(downloads.lengths) == sorted(8 * undivided(OF_A_DIRECTORY))


def test_a_download_from_a_directory_holds_one_range_ahead() -> None:
    downloads = Downloads(FilesystemBackend.capabilities, Conf().worker_memory // 2)
    downloads.run(4)
    assert downloads.most <= (4 + 1) * OF_A_DIRECTORY  # one of them is handed over


def test_four_downloads_from_a_directory_have_what_the_allocator_keeps() -> None:
    """Each has a range that is being sent and one ahead. With more than what is kept, all of it
    was faulted in anew each time that downloads had ended (23 000 page faults for 128 MiB)."""
    assert 0 < 4 * 2 * OF_A_DIRECTORY < KEPT


def test_a_setting_shortens_the_ranges_of_a_directory_too() -> None:
    conf = Conf(read_range=MIB)
    downloads = Downloads(FilesystemBackend.capabilities, Conf().worker_memory // 2, conf)
    downloads.run(1)
    assert max(downloads.lengths) == MIB


def test_ranges_of_requests_are_as_long_as_the_settings_say() -> None:
    downloads = Downloads(S3Backend.capabilities, Conf().worker_memory // 2)
    downloads.run(2)
    assert sorted(downloads.lengths) == sorted(2 * undivided())


def test_a_share_that_is_full_shortens_ranges_and_is_not_exceeded() -> None:
    budget = 64 * MIB
    downloads = Downloads(S3Backend.capabilities, budget)
    downloads.run(8)
    assert min(downloads.lengths) >= FIRST_RANGE
    assert downloads.most <= budget // 2 + LONGEST  # which is handed over
