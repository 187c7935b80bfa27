"""What is used of pyOpenSSL's private parts is tried when the service starts."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls import openssl


def test_this_pyopenssl_has_what_is_needed() -> None:
    openssl.self_test()


@pytest.mark.parametrize("name", ["_lib", "_ffi"])
def test_a_release_that_has_it_no_more_is_named_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    openssl._refusal.cache_clear()
    monkeypatch.delattr(SSL, name)
    with pytest.raises(ConfigurationError, match=r"pyOpenSSL [0-9.]+ is not as this release knows"):
        openssl.self_test()


def test_a_callback_that_is_called_no_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "only_resumption", lambda context: None)
    with pytest.raises(ConfigurationError, match="resumes nothing"):
        openssl.self_test()
