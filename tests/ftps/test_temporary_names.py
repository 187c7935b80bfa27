"""A file of the same name, delivered under a temporary name on five days in a row.

Each mode that uploads, policy and client's way, on a directory and on S3. One of the two files is
fetched by the consumer each day, the other is left where it is. ``make test-days`` runs all of it,
with FileZilla under Xvfb; ``make test`` a part.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import keys
from tests.ftps.temporary_names import WAYS

ALL: Final = bool(os.environ.get("TEMPORARY_NAMES_ALL"))
DAYS: Final = 5
POLICIES: Final = ("reject", "replace", "version")
MODES: Final = ("drop", "dropbox", "exchange")
#: Bytes of a part; S3's are 5 MiB at least.
PART: Final = 64 * 1024
S3_PART: Final = 5 * 1024 * 1024
#: The ways that cut an upload off, and need more than a part.
RESUMES: Final = ("resuming", "appending")

MAKE: Final = """
import io, sys
from django.core.management import call_command
quiet = {{"stdout": io.StringIO()}}
for policy in {policies}:
    for mode in {modes}:
        name = "daily-" + policy + "-" + mode
        call_command("partner_create", name, mode=mode, overwrite=policy, **quiet)
        sys.stdin = io.StringIO(name + "-and-a-long-test-password\\n")
        call_command("account_create", name, name, "--password-stdin", **quiet)
"""
_TIMES: Final = ("started", "updated", "finished", "lease_until")


@pytest.fixture(scope="module")
def service(standing: Serve) -> dict[str, ServedFtps]:
    """The servers that have the partners by now, by storage."""
    return {}


def _cases() -> list[tuple[str, str, str, str]]:
    """(storage, way, policy, mode)."""
    every = product(("filesystem", "s3"), WAYS, POLICIES, MODES)
    cases = [case for case in every if not (case[1] == "lftp mirror" and case[3] == "drop")]
    return cases if ALL else [case for case in cases if _is_quick(*case)]


def _is_quick(storage: str, way: str, policy: str, mode: str) -> bool:
    """Each mode's default policy; and every policy for the ways that cost least, on a directory."""
    default = (policy == "version") == (mode == "drop") and policy != "reject"
    if storage == "s3":
        return default and way == "lftp"
    cheap = way in ("lftp", "script that deletes")
    return cheap or (default and way not in ("FileZilla", "rclone in place"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("storage", "way", "policy", "mode"), _cases())
def test_it_works_on_five_days(
    standing: Serve,
    service: dict[str, ServedFtps],
    tmp_path: Path,
    storage: str,
    way: str,
    policy: str,
    mode: str,
) -> None:
    if storage not in service:
        service[storage] = standing("sqlite", storage, options={"part_size": PART})
        service[storage].manage("shell", "-c", MAKE.format(policies=POLICIES, modes=MODES))
    Delivery(service[storage], storage, way, policy, mode, tmp_path).run()


class Delivery:
    """One client's, for five days; the account's partner has its own folder in storage."""

    def __init__(
        self, ftps: ServedFtps, storage: str, way: str, policy: str, mode: str, folder: Path
    ) -> None:
        self._ftps, self._way, self._policy, self._mode = ftps, way, policy, mode
        self._account = f"daily-{policy}-{mode}"
        self._folder = folder
        self._size = 0
        if way in RESUMES:
            self._size = 2 * (S3_PART if storage == "s3" else PART)
        self._stem = way.replace(" ", "-").lower()
        #: The file that the consumer fetches each day, and the one that nobody fetches.
        self._taken, self._left = f"{self._stem}-taken.csv", f"{self._stem}-left.csv"
        self._stored: dict[str, bytes] = {}
        self._temporaries: dict[str, bytes] = {}

    def run(self) -> None:
        for day in range(DAYS):
            contents = self._write_files(day)
            said = WAYS[self._way](self._ftps, self._account, self._folder)
            self._judge(day, contents, said)
            stored = self._in_storage()
            assert stored == self._stored
            self._ledger_agrees(stored)
            self._a_day_passes()
            self._fetch(self._taken)

    def _write_files(self, day: int) -> dict[str, bytes]:
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        # rclone takes a file of the same size for the same.
        line = f"{self._account} {self._way} day {day}\n".encode() * (day + 10)
        data = line * (self._size // len(line) + 1)
        contents = {self._taken: data + b"taken", self._left: data + b"left"}
        for name, content in contents.items():
            (self._folder / name).write_bytes(content)
        return contents

    def _judge(self, day: int, contents: dict[str, bytes], said: dict[str, str]) -> None:
        """What the client was told, and what is stored from now on."""
        assert not said[self._taken], f"day {day}: {said[self._taken]}"
        self._stored[self._taken] = contents[self._taken]
        old_is_deleted = self._way == "script that deletes" and self._mode == "exchange"
        is_free = self._left not in self._stored
        if is_free or self._policy == "replace" or old_is_deleted:
            assert not said[self._left], f"day {day}: {said[self._left]}"
            self._stored[self._left] = contents[self._left]
        elif self._policy == "version":
            assert not said[self._left], f"day {day}: {said[self._left]}"
            stem = self._left.removesuffix(".csv")
            self._stored[f"{stem} ({day}).csv"] = contents[self._left]
        else:
            assert "exists already; " in said[self._left], said[self._left]
            if self._way == "rclone in place" and self._mode == "exchange":
                # It takes what has the name for its own failed copy, and deletes it.
                del self._stored[self._left]
                return
            # What was sent has its temporary name, and nothing replaces it there either; lftp and
            # rclone delete it where they may.
            others = {n: data for n, data in self._in_storage().items() if n not in contents}
            assert self._mode == "exchange" or self._temporaries.items() <= others.items()
            self._temporaries = others
            kept = {name: self._stored[name] for name in contents}
            self._stored = kept | others

    def _in_storage(self) -> dict[str, bytes]:
        """What storage has of this way's files, by name."""
        prefix = f"{self._account}/"
        return {
            key.removeprefix(prefix): self._ftps.stored(key)
            for key in keys(self._ftps.store)
            if key.startswith(prefix) and self._is_ours(key)
        }

    def _is_ours(self, key: str) -> bool:
        return f"{self._stem}-taken" in key or f"{self._stem}-left" in key

    def _ledger_agrees(self, stored: dict[str, bytes]) -> None:
        rows = self._ftps.query(
            "SELECT key, size, sha256 FROM securedrop_ftp_upload WHERE current AND username = %s"
            " AND state = 'committed'",
            self._account,
        )
        there = {row["key"].partition("/")[2]: row for row in rows if self._is_ours(row["key"])}
        assert len(there) == len([row for row in rows if self._is_ours(row["key"])])
        assert there.keys() == stored.keys()
        for name, data in stored.items():
            told = there[name]["size"], there[name]["sha256"]
            assert told == (len(data), hashlib.sha256(data).hexdigest())

    def _a_day_passes(self) -> None:
        back = ", ".join(f"{t} = strftime('%Y-%m-%d %H:%M:%f', {t}, '-1 day')" for t in _TIMES)
        self._ftps.query(
            f"UPDATE securedrop_ftp_upload SET {back} WHERE username = %s", self._account
        )

    def _fetch(self, name: str) -> None:
        """The consumer takes a file away, behind the service."""
        self._ftps.store.remove(f"{self._account}/{name}")
        del self._stored[name]
