"""NFC and NFD are two spellings of one name: what is new is NFC, what is there is found."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securedrop_ftp import keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import BadName, Exists, NotFound, Truncated, UploadBusy
from securedrop_ftp.intake import spelling
from securedrop_ftp.keys import key_for, resolve
from securedrop_ftp.models import OverwritePolicy, Upload
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, make_principal, stored

NFC: Final = "Bücher é.txt"
NFD: Final = unicodedata.normalize("NFD", NFC)
BOTH: Final = pytest.mark.parametrize("sent", [NFC, NFD], ids=["nfc", "nfd"])


def _put(house: House, key: str, data: bytes = b"old") -> None:
    """An object from an operator's tool."""
    make = make_principal(create_directories=True)
    house.upload(make, "/put-there", data)
    parts = key.split("/")
    for depth in range(2, len(parts)):
        try:
            house.backend.mkdir("/".join(parts[:depth]))
        except Exists:
            continue
    house.backend.rename("acme/put-there", key, replace=False)
    Upload.objects.all().delete()


def _keys(house: House, directory: str = "acme") -> list[str]:
    return sorted(e.name for page in house.backend.scandir(directory) for e in page)


@BOTH
def test_a_new_name_is_stored_in_nfc(house: House, alice: Principal, sent: str) -> None:
    house.upload(alice, f"/{sent}", b"new")
    assert _keys(house) == [NFC]
    assert Upload.objects.get().path == f"/{NFC}"
    for asked in (NFC, NFD):
        meant = house.intake.meaning.finished(alice, f"/{asked}")
        assert (meant.path, meant.key) == (f"/{NFC}", f"acme/{NFC}")


@BOTH
def test_what_storage_has_in_nfd_is_found_by_either(
    house: House, alice: Principal, sent: str
) -> None:
    _put(house, f"acme/{NFD}")
    meaning = house.intake.meaning
    for look in (meaning.finished, meaning.seen):
        assert look(alice, f"/{sent}").path == f"/{NFD}"


@BOTH
def test_policy_decides_of_a_name_that_is_there_in_nfd(
    house: House, alice: Principal, sent: str
) -> None:
    _put(house, f"acme/{NFD}")
    with pytest.raises(Exists):
        house.upload(make_principal(overwrite=OverwritePolicy.REJECT), f"/{sent}", b"no")
    house.upload(alice, f"/{sent}", b"new")
    assert _keys(house) == [NFD]
    assert stored(house.backend, f"acme/{NFD}") == b"new"
    receipt = house.upload(make_principal(overwrite=OverwritePolicy.VERSION), f"/{sent}", b"2nd")
    assert receipt.version_of == f"/{NFD}"
    assert len(_keys(house)) == 2
    assert len({unicodedata.normalize("NFC", name) for name in _keys(house)}) == 2


@BOTH
def test_directories_are_spelled_one_by_one(house: House, alice: Principal, sent: str) -> None:
    _put(house, f"acme/{NFC}/{NFD}/a")
    house.upload(alice, f"/{sent}/{sent}/{sent}", b"new")
    assert stored(house.backend, f"acme/{NFC}/{NFD}/{NFC}") == b"new"
    assert _keys(house) == [NFC]
    assert house.intake.meaning.finished(alice, f"/{sent}/{sent}/a").key.endswith(f"{NFD}/a")


@BOTH
def test_mkd_makes_no_twin_and_rmd_finds_it(house: House, alice: Principal, sent: str) -> None:
    directories = house.intake.directories
    assert directories.make(alice, f"/{sent}") == f"/{NFC}"
    for twin in (NFC, NFD):
        with pytest.raises(Exists):
            directories.make(alice, f"/{twin}")
    assert house.remove_directory(alice, f"/{sent}") == f"/{NFC}"
    house.backend.mkdir(f"acme/{NFD}")
    with pytest.raises(Exists):
        directories.make(alice, f"/{sent}")
    assert house.remove_directory(alice, f"/{sent}") == f"/{NFD}"
    with pytest.raises(NotFound):
        house.remove_directory(alice, f"/{sent}")


@BOTH
def test_a_rename_makes_no_twin(house: House, alice: Principal, sent: str) -> None:
    careful = make_principal(overwrite=OverwritePolicy.REJECT)
    _put(house, f"acme/{NFD}")
    house.upload(alice, "/a", b"new")
    with pytest.raises(Exists):
        house.rename(careful, "/a", f"/{sent}")
    assert house.rename(alice, "/a", f"/{sent}").path == f"/{NFD}"
    assert _keys(house) == [NFD]
    assert house.rename(alice, f"/{sent}", "/b").key == "acme/b"
    assert house.rename(alice, "/b", f"/{sent}").path == f"/{NFC}"


@BOTH
def test_a_rename_to_its_own_name_spells_it_in_nfc(
    house: House, alice: Principal, sent: str
) -> None:
    _put(house, f"acme/{NFD}")
    for _ in range(2):
        assert house.rename(alice, f"/{sent}", f"/{sent}").path == f"/{NFC}"
    assert _keys(house) == [NFC]
    house.backend.mkdir(f"acme/{NFD}d")
    house.rename(alice, f"/{sent}d", f"/{sent}d")
    assert _keys(house) == [NFC, f"{NFC}d"]


@BOTH
def test_delete_finds_it(house: House, alice: Principal, sent: str) -> None:
    _put(house, f"acme/{NFD}")
    house.delete(alice, f"/{sent}")
    assert _keys(house) == []


def test_of_twins_each_has_the_name_that_is_its_own(house: House, alice: Principal) -> None:
    _put(house, f"acme/{NFD}", b"of the NFD one")
    house.backend.rename(f"acme/{NFD}", "acme/aside", replace=False)
    house.upload(alice, f"/{NFC}", b"of the NFC one")
    house.backend.rename("acme/aside", f"acme/{NFD}", replace=False)
    for name in (NFC, NFD):
        assert house.intake.meaning.finished(alice, f"/{name}").key == f"acme/{name}"
    house.upload(alice, f"/{NFD}", b"new")
    assert stored(house.backend, f"acme/{NFD}") == b"new"
    assert stored(house.backend, f"acme/{NFC}") == b"of the NFC one"


def test_two_sessions_upload_to_one_key(house: House, alice: Principal) -> None:
    house.begin(alice, f"/{NFD}")
    with pytest.raises(UploadBusy):
        house.begin(make_principal(user="anna"), f"/{NFC}")


def test_a_suspended_upload_is_gone_on_with_under_either(house: House, alice: Principal) -> None:
    if not house.backend.capabilities.resumable:
        pytest.skip("holds no parts")
    data = bytes(range(256)) * 1024
    stream = house.begin(alice, f"/{NFD}")
    house.feed(stream, data)
    house.cancel(stream, Truncated())
    seen = house.intake.suspended_for(alice, f"/{NFD}")
    assert seen is not None
    assert house.intake.meaning.seen(alice, f"/{NFD}").entry.size == seen.length
    stream = house.begin(alice, f"/{NFD}", offset=seen.length)
    house.feed(stream, data[seen.length :])
    house.finish(stream)
    assert stored(house.backend, f"acme/{NFC}") == data


# --- the cost ----------------------------------------------------------------------------


def _looks(house: House, act: Callable[[], object]) -> int:
    faulty = FaultyBackend(house.backend)
    inner, house.backend = house.backend, faulty
    try:
        act()
    except NotFound:
        pass
    finally:
        house.backend = inner
    return faulty.calls.count("stat")


@pytest.mark.parametrize("name", ["plain.txt", "中文", "Юг"])
def test_a_name_of_one_spelling_costs_nothing(house: House, alice: Principal, name: str) -> None:
    finished = house.intake.meaning.finished
    assert _looks(house, lambda: finished(alice, "/missing")) == 1
    assert _looks(house, lambda: finished(alice, f"/{name}")) == 1
    usual = _looks(house, lambda: house.upload(alice, "/x", b"1"))
    assert _looks(house, lambda: house.upload(alice, f"/{name}", b"1")) == usual


def test_another_spelling_costs_one_look_and_none_where_the_first_finds_it(
    house: House, alice: Principal
) -> None:
    finished, begun = house.intake.meaning.finished, house.upload
    usual = _looks(house, lambda: begun(alice, "/x", b"1"))
    assert _looks(house, lambda: finished(alice, f"/{NFC}")) == 2
    assert _looks(house, lambda: begun(alice, f"/{NFC}", b"1")) == usual + 1
    assert _looks(house, lambda: finished(alice, f"/{NFC}")) == 1
    assert _looks(house, lambda: finished(alice, f"/{NFD}")) == 3  # it, NFC, and NFC for the verb


# --- what a spelling may be ---------------------------------------------------------------


def test_a_name_that_grows_too_long_is_refused(house: House, alice: Principal) -> None:
    long = "\u0958" * 85  # 255 bytes; NFC excludes it from composition: 510 bytes
    assert resolve("/", f"/{long}") == f"/{long}"
    with pytest.raises(BadName, match="longer than 255 bytes"):
        house.upload(alice, f"/{long}", b"1")
    deep = "/".join(["\u0958" * 40] * 8)
    with pytest.raises(BadName, match="longer than 1024 bytes"):
        house.intake.directories.make(alice, f"/{deep}")
    house.upload(alice, "/" + "é" * 127, b"1")  # its NFD has 381 bytes, and is nowhere
    with pytest.raises(NotFound):
        house.intake.meaning.finished(alice, "/" + "è" * 127)


def test_no_character_becomes_a_separator_or_a_dot() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if char.isascii():
            continue
        for spelled in keys.spellings(char):
            assert not set(spelled) & set("/\\.\0\r\n"), hex(code)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_spelling_stays_below_the_prefix(text: str) -> None:
    try:
        path = resolve("/", text)
    except BadName:
        return
    for spelled in keys.spellings(path):
        assert spelled.count("/") == path.count("/")
        assert key_for("acme/", spelled).startswith("acme")


def test_the_prefix_itself_keeps_its_spelling(house: House, db: None) -> None:
    who = make_principal(root=unicodedata.normalize("NFD", "société/"))
    house.upload(who, "/é", b"1")
    assert _keys(house, who.root[:-1]) == ["é"]
    with pytest.raises(NotFound):
        house.backend.stat("société")
    assert spelling.of_new(house.backend, "acme/", "/é") == "/é"
