"""What the filesystem backend does beyond the contract: symlinks, crashes, full disks."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from securedrop_ftp import exceptions as errors
from securedrop_ftp.storage.errors import BY_ERRNO, from_os_error
from securedrop_ftp.storage.filesystem import tree
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.protocol import META_SHA256, META_UPLOAD_ID, ObjectSpec, Partial
from tests.storage.uploads import commit, content, listing, pieces, put, put_parts, sha256, spec_for


class NoMode(FileSystemStorage):
    """As with ``FILE_UPLOAD_PERMISSIONS = None``."""

    file_permissions_mode = None


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def fs(location: Path) -> FilesystemBackend:
    return FilesystemBackend(FileSystemStorage(location=location))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    (made / "secret").write_bytes(b"secret")
    return made


def uploads(location: Path) -> list[str]:
    return sorted(path.name for path in (location / ".securedrop" / "uploads").iterdir())


def test_a_file_is_where_a_reader_looks_for_it(fs: FilesystemBackend, location: Path) -> None:
    put(fs, "acme/in/a.xml", b"<a/>")
    assert (location / "acme/in/a.xml").read_bytes() == b"<a/>"


def test_a_directory_that_is_a_symlink_is_not_followed(
    fs: FilesystemBackend, location: Path, outside: Path
) -> None:
    put(fs, "acme/a")
    (location / "acme" / "out").symlink_to(outside)
    for act in (
        lambda: fs.stat("acme/out/secret"),
        lambda: listing(fs, "acme/out"),
        lambda: put(fs, "acme/out/new"),
        lambda: fs.delete("acme/out/secret"),
        lambda: fs.rename("acme/a", "acme/out/a", replace=True),
        lambda: fs.rename("acme/out/secret", "acme/b", replace=True),
        lambda: fs.mkdir("acme/out/new"),
        lambda: fs.rmdir("acme/out"),
    ):
        with pytest.raises(errors.SecureDropError):
            act()
    assert [p.name for p in outside.iterdir()] == ["secret"]
    assert set(listing(fs, "acme")) == {"a"}


def test_a_file_that_is_a_symlink_is_not_followed(
    fs: FilesystemBackend, location: Path, outside: Path
) -> None:
    put(fs, "acme/a")
    (location / "acme" / "link").symlink_to(outside / "secret")
    for act in (lambda: fs.stat("acme/link"), lambda: fs.delete("acme/link")):
        with pytest.raises(errors.NotFound):
            act()
    entry = fs.stat("acme/a")
    (location / "acme" / "a").unlink()
    (location / "acme" / "a").symlink_to(outside / "secret")
    with pytest.raises(errors.NotFound):
        fs.read(entry, 0, 6)
    assert fs.find_published("acme/link", "x") is None


def test_publishing_replaces_a_symlink_and_not_what_it_names(
    fs: FilesystemBackend, location: Path, outside: Path
) -> None:
    fs.mkdir("acme")
    (location / "acme" / "a").symlink_to(outside / "secret")
    put(fs, "acme/a", b"ours")
    assert content(fs, "acme/a") == b"ours"
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_symlinked_location_is_the_operators_choice(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    fs = FilesystemBackend(FileSystemStorage(location=tmp_path / "link"))
    put(fs, "acme/a")
    assert (outside / "acme" / "a").exists()


def test_no_temporary_file_stays_behind(fs: FilesystemBackend, location: Path) -> None:
    put(fs, "acme/a")
    data = pieces(fs, 2)
    partial = fs.begin(spec_for("acme/b"))
    commit(fs, partial, put_parts(fs, partial, data), b"".join(data))
    fs.abort(fs.begin(spec_for("acme/c")))
    with pytest.raises(errors.Exists):
        put(fs, "acme/a", replace=False)
    fs.check()
    assert uploads(location) == []


def test_a_temporary_name_carries_upload_and_epoch(fs: FilesystemBackend, location: Path) -> None:
    fs.begin(ObjectSpec("acme/a", "u1", epoch=7))
    assert uploads(location) == ["u1.7"]


@pytest.mark.integration
def test_a_suspended_upload_survives_the_process(fs: FilesystemBackend, location: Path) -> None:
    data = pieces(fs, 2)
    spec = spec_for("acme/big")

    def first_process() -> None:
        partial = fs.begin(spec)
        put_parts(fs, partial, data[:1])
        os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=first_process)
    process.start()
    process.join()
    assert process.exitcode == 9
    partial = Partial(spec, f"{spec.upload_id}.1")
    held = fs.list_parts(partial)
    assert held is not None
    assert [p.size for p in held] == [len(data[0])]
    again = fs.resume(partial, 2)
    held.append(fs.put_part(again, 2, len(data[0]), memoryview(data[1])))
    commit(fs, again, held, b"".join(data))
    assert content(fs, "acme/big") == b"".join(data)


def test_a_crash_between_rename_and_ledger_does_not_lose_the_upload(fs: FilesystemBackend) -> None:
    """The ledger still holds the token of epoch 1; the file was renamed to epoch 2."""
    data = pieces(fs, 1)
    first = fs.begin(spec_for("acme/big"))
    parts = put_parts(fs, first, data)
    fs.resume(first, 2)
    third = fs.resume(first, 3)
    commit(fs, third, parts, data[0])
    assert content(fs, "acme/big") == data[0]


def test_a_torn_line_of_the_part_log_is_left_out(fs: FilesystemBackend, location: Path) -> None:
    partial = fs.begin(spec_for("acme/big"))
    put_parts(fs, partial, pieces(fs, 2))
    log = location / ".securedrop/uploads" / f"{partial.token}.parts"
    log.write_bytes(log.read_bytes()[:-3])
    held = fs.list_parts(partial)
    assert held is not None
    assert [p.number for p in held] == [1]


def test_bytes_of_a_writer_that_is_gone_are_cut_off(fs: FilesystemBackend) -> None:
    data = pieces(fs, 2)
    partial = fs.begin(spec_for("acme/big"))
    parts = put_parts(fs, partial, data)
    commit(fs, partial, parts[:1], data[0])
    assert content(fs, "acme/big") == data[0]


def test_the_digest_stands_on_the_file(fs: FilesystemBackend) -> None:
    put(fs, "acme/a", b"hello")
    assert fs.stat("acme/a").metadata[META_SHA256] == sha256(b"hello")


def test_without_extended_attributes_a_record_tells_whose_a_file_is(
    fs: FilesystemBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    put(fs, "acme/a", upload_id="u1")
    found = fs.find_published("acme/a", "u1")
    assert found is not None
    assert fs.find_published("acme/a", "u2") is None
    put(fs, "acme/a", b"other", upload_id="u3")
    assert fs.find_published("acme/a", "u1") is None
    assert META_UPLOAD_ID not in fs.stat("acme/a").metadata


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL])
def test_without_renameat2_no_name_is_overwritten_either(
    fs: FilesystemBackend, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(tree, "_renameat2", lambda *args: number)
    put(fs, "acme/a", b"old", replace=False)
    with pytest.raises(errors.Exists):
        put(fs, "acme/a", b"new", replace=False)
    assert content(fs, "acme/a") == b"old"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.StorageFull),
        (errno.EDQUOT, errors.StorageFull),
        (errno.EROFS, errors.StorageRefused),
        (errno.EIO, errors.StorageUnavailable),
    ],
)
def test_a_write_that_fails_changes_nothing(
    fs: FilesystemBackend,
    monkeypatch: pytest.MonkeyPatch,
    location: Path,
    number: int,
    kind: type[Exception],
) -> None:
    put(fs, "acme/a", b"old")

    def fail(*args: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(kind):
            put(fs, "acme/a", b"new")
    partial = fs.begin(spec_for("acme/a"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(kind):
            fs.put_part(partial, 1, 0, memoryview(b"new"))
    fs.abort(partial)
    assert content(fs, "acme/a") == b"old"
    assert uploads(location) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_full_storage() -> None:
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", 0) as full:
        full.write(b"x")
    assert isinstance(from_os_error(caught.value), errors.StorageFull)


def test_a_directory_sync_that_fails_leaves_the_outcome_unknown(
    fs: FilesystemBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fs, "acme/first")
    fsync, calls = os.fsync, []

    def failing(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 2:  # the file's own is the first
            raise OSError(errno.EIO, "failed")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(errors.OutcomeUnknown):
        put(fs, "acme/a", upload_id="u1")
    assert fs.find_published("acme/a", "u1") is not None


def test_a_name_that_is_too_long_is_a_bad_name(fs: FilesystemBackend) -> None:
    with pytest.raises(errors.BadName):
        put(fs, "acme/" + "x" * 256)


def test_an_unknown_error_may_go_better_later() -> None:
    assert isinstance(from_os_error(OSError(errno.EUSERS, "?")), errors.StorageUnavailable)
    assert all(issubclass(kind, errors.SecureDropError) for kind in BY_ERRNO.values())


def test_no_message_holds_a_path(fs: FilesystemBackend, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound) as caught:
        fs.delete("acme/none")
    assert str(tmp_path) not in str(caught.value)


def test_files_get_the_storages_permissions(location: Path) -> None:
    fs = FilesystemBackend(
        FileSystemStorage(
            location=location, file_permissions_mode=0o640, directory_permissions_mode=0o750
        )
    )
    put(fs, "acme/a")
    assert (location / "acme/a").stat().st_mode & 0o777 == 0o640
    assert (location / "acme").stat().st_mode & 0o777 == 0o750


def test_without_a_mode_of_its_own_a_file_gets_the_umasks(location: Path) -> None:
    fs = FilesystemBackend(NoMode(location=location))
    put(fs, "acme/a")
    (location / "other").touch()
    assert (location / "acme/a").stat().st_mode == (location / "other").stat().st_mode


def test_unfinished_uploads_are_for_the_service_alone(
    fs: FilesystemBackend, location: Path
) -> None:
    fs.begin(spec_for("acme/a"))
    assert (location / ".securedrop").stat().st_mode & 0o777 == 0o700
    assert (location / ".securedrop/uploads").stat().st_mode & 0o777 == 0o700


def test_without_renameat2_a_directory_is_renamed_too(
    fs: FilesystemBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_renameat2", lambda *args: errno.EINVAL)
    put(fs, "acme/in/a")
    fs.mkdir("acme/taken")
    with pytest.raises(errors.Exists):
        fs.rename("acme/in", "acme/taken", replace=False)
    fs.rename("acme/in", "acme/out", replace=False)
    assert content(fs, "acme/out/a") == b"data"


def test_special_files_are_left_out(fs: FilesystemBackend, location: Path) -> None:
    put(fs, "acme/a")
    os.mkfifo(location / "acme" / "pipe")
    assert set(listing(fs, "acme")) == {"a"}
    with pytest.raises(errors.NotFound):
        fs.stat("acme/pipe")


def test_a_long_listing_comes_in_pages(fs: FilesystemBackend, location: Path) -> None:
    fs.mkdir("acme")
    for number in range(2500):
        (location / "acme" / f"{number}").touch()
    assert [len(page) for page in fs.scandir("acme")] == [1000, 1000, 500]


def test_what_is_not_an_upload_of_ours_is_not_opened(fs: FilesystemBackend) -> None:
    fs.begin(spec_for("acme/a"))
    for token in ("../../etc/passwd", "x", "a/b.1", ""):
        with pytest.raises(errors.NotFound):
            fs.put_part(Partial(spec_for("acme/a"), token), 1, 0, memoryview(b"x"))
    with pytest.raises(errors.BadName):
        fs.begin(ObjectSpec("acme/a", "../x"))
