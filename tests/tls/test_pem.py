"""PEM files are read once, for the service and for its checks alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls.contexts import Certificate
from securedrop_ftp.tls.development import make_certificates
from securedrop_ftp.tls.pem import NotPem, Unreadable, read_certificates, read_key


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    make_certificates(tmp_path)
    return str(tmp_path / "server.pem"), str(tmp_path / "server.key")


def test_a_pair_is_loaded(pair: tuple[str, str]) -> None:
    assert Certificate.load(*pair).chain == ()


def test_a_key_of_another_certificate_is_refused(pair: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not belong to the certificate"):
        Certificate.load(pair[0], str(tmp_path / "client.key"))


def test_a_path_that_is_not_set_is_named(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="SECUREDROP_TLS_KEY_FILE is not set"):
        Certificate.load(pair[0], "")


def test_a_chain_that_is_cut_off_is_refused(pair: tuple[str, str]) -> None:
    whole = Path(pair[0]).read_text()
    Path(pair[0]).write_text(whole + whole[: len(whole) // 2])
    with pytest.raises(NotPem, match="ends in the midst of a certificate"):
        Certificate.load(*pair)


def test_what_is_no_pem_or_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for read in (read_certificates, read_key):
        with pytest.raises(Unreadable, match="No such file") as missing:
            read(str(tmp_path / "none"))
        with pytest.raises(NotPem, match="in PEM") as empty:
            read(str(tmp_path / "empty"))
        assert missing.value.hint
        assert empty.value.hint
