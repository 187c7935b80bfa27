"""Nobody leaves their prefix, judged from what storage was asked, not from replies.

Two partners with neighbouring prefixes (``a/`` and ``ab/``) over a backend that writes down every
key it is given. Names are generated from what has fooled path code before (CVE-2026-30914,
CVE-2024-4040, CVE-2024-39330). The verbs' file system runs as it is, without sockets, so that
thousands of names take seconds; ``make test-isolation`` takes 100 000.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from securedrop_ftp import keys
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import ObjectSpec
from tests.security.recording import RecordingBackend, backends

EXAMPLES = int(os.environ.get("NAMES", "5000"))

ROOT, OTHER = "a/", "ab/"

PIECES = [
    "..", ".", "/", "//", "\\", "..\\", "../", "/..", "...", "%2e%2e", "%2f", "%5c", "..%2f",
    "a", "ab", "b", "x", "\x00", "\r", "\n", "\x7f", "\x1b", "\u2024\u2024", "\uff0e\uff0e",
    "\u2215", "\uff0f", "\uff3c", "\u202e", "~", "*", "?", "[", " ", "secret", "in", ":", "C:",
    ".securedrop", "ab/secret", "/ab/secret", "../ab/secret", "a/../ab", "ſ", "é", "e\u0301",
]  # fmt: skip

names = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("/".join),
    st.text(max_size=40),
)


def run(call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


def act(fs: StorageFS, storage: ConfinedStorage, verb: str, name: str, other: str) -> None:
    """One verb, as the verbs call their file system."""
    path = fs.resolve(name)
    if verb == "CWD":
        fs.change_directory(path)
    elif verb == "LIST":
        list(fs.pages(path))
    elif verb == "SIZE":
        fs.stat_file(path)
    elif verb == "RETR":
        storage.read(fs.stat_file(path), 0, 10)
    elif verb == "STOR":
        spec = ObjectSpec(fs.key(path), "00000000-0000-0000-0000-000000000000")
        storage.put_object(spec, memoryview(b"x"), sha256="", replace=True)
    elif verb == "DELE":
        fs.delete(path)
    elif verb == "MKD":
        fs.make_directory(path)
    elif verb == "RMD":
        fs.remove_directory(path)
    elif verb == "RENAME":
        fs.rename(path, fs.resolve(other), replace=True)


VERBS = ["CWD", "LIST", "SIZE", "RETR", "STOR", "DELE", "MKD", "RMD", "RENAME"]


@pytest.fixture(params=["memory", "filesystem"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    inner = backends[request.param](tmp_path_factory.mktemp("isolation"))
    return RecordingBackend(inner)


@settings(
    max_examples=EXAMPLES // 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(verb=st.sampled_from(VERBS), name=names, other=names, cwd=names)
def test_no_name_reaches_storage_outside_the_prefix(
    backend: RecordingBackend, verb: str, name: str, other: str, cwd: str
) -> None:
    storage = ConfinedStorage(backend, ROOT)
    fs = StorageFS(storage, ROOT, run)
    backend.seen.clear()
    for step, argument in (("CWD", cwd), (verb, name)):
        with contextlib.suppress(SecureDropError):
            act(fs, storage, step, argument, other)
    for key in backend.seen:
        assert key == ROOT[:-1] or key.startswith(ROOT), (verb, name, key)
        assert "\\" not in key
        assert ".." not in key.split("/")


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(name=names, cwd=names)
def test_a_path_becomes_a_key_inside_the_root_or_nothing(name: str, cwd: str) -> None:
    try:
        path = keys.resolve(keys.resolve("/", cwd), name)
        key = keys.key_for(ROOT, path)
    except SecureDropError:
        return
    assert key == ROOT[:-1] or key.startswith(ROOT)
    assert keys.path_for(ROOT, key) in (path, "/") or path == "/"
    assert keys.resolve("/", path) == path
