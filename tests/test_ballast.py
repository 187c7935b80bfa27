"""The ballast beside SQLite's database; what it is good for on a full disk is in
``faults/test_full_disk.py``."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from securedrop_ftp import ballast
from securedrop_ftp.conf import MIB


def test_two_looks_at_once_do_not_write_over_each_others_ballast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "database.ballast"
    begun, go_on = Event(), Event()

    def random(size: int) -> bytes:
        begun.set()
        assert go_on.wait(30)
        return bytes(size)

    monkeypatch.setattr(ballast, "_path", lambda: path)
    monkeypatch.setattr(ballast, "free_space", lambda _: (64 * MIB, 64 * MIB))
    monkeypatch.setattr(os, "urandom", random)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ballast.tend)
        assert begun.wait(30)
        ballast.tend()
        assert list(tmp_path.iterdir()) == [tmp_path / f"database.ballast.{os.getpid()}"]
        go_on.set()
        first.result()
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size == ballast.SIZE
