"""What a new release of pyOpenSSL breaks is told in a sentence, before anything is served."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest
from OpenSSL import SSL

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls import openssl
from securedrop_ftp.tls import self_test as tried

PARTS = {"_lib": "SSL._lib", "_ffi": "SSL._ffi", "SSL": "SSL"}


def without(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    class Without:
        def __getattr__(self, name: str) -> object:
            if name == gone:
                raise AttributeError(f"no {name}")
            return getattr(SSL._lib, name)  # type: ignore[attr-defined]  # the tested private name

    monkeypatch.setattr(openssl, "_lib", Without())


def test_it_says_what_a_new_release_does_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    tried.self_test()
    monkeypatch.setattr(openssl, "session_reused", lambda connection: False)
    with pytest.raises(ConfigurationError, match=r"pyOpenSSL \(\d+.*ticket is not resumed"):
        tried.self_test()


@pytest.mark.parametrize("name", ["d2i_SSL_SESSION", "SSL_read", "SSL_CTX_set1_curves_list"])
def test_it_says_which_private_name_is_gone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without(monkeypatch, name)
    with pytest.raises(ConfigurationError, match=rf"has no SSL\._lib\.{name}\. Install"):
        tried.self_test()


@pytest.mark.parametrize(
    ("function", "broken", "told"),
    [
        ("limit_groups", lambda context, groups: None, "groups are not limited"),
        ("set_info", lambda context, notice: None, "steps are not counted"),
        ("write_from", lambda connection, data, limit: (1, None), "not written in one call"),
        ("read_into", lambda connection, into: (0, None), "not read in one call"),
        (
            "_ended_by_fin",
            lambda connection, result: False,
            "close_notify and FIN are not told apart",
        ),
        ("fatal_alert", lambda connection: b"", "there is no fatal alert"),
    ],
)
def test_each_thing_that_is_needed_is_tried(
    monkeypatch: pytest.MonkeyPatch, function: str, broken: object, told: str
) -> None:
    monkeypatch.setattr(openssl, function, broken)
    if function in ("limit_groups", "set_info"):
        user = "contexts" if function == "limit_groups" else "handshake_limit"
        monkeypatch.setattr(f"securedrop_ftp.tls.{user}.{function}", broken)
    with pytest.raises(ConfigurationError, match=told):
        tried.self_test()


def test_it_knows_every_private_name_that_is_used() -> None:
    """Constants that are read by ``getattr``, as the library may lack them, count as well."""
    used = defaultdict(set)
    for node in ast.walk(ast.parse(Path(openssl.__file__).read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="_lib" | "_ffi" as name), attr=attribute):
                used[PARTS[name]].add(attribute)
            case ast.Call(
                func=ast.Name(id="getattr"),
                args=[ast.Name(id="_lib" | "SSL" as name), ast.Constant(value=str(attribute)), _],
            ):
                used[PARTS[name]].add(attribute)
            case ast.Call(func=ast.Name(id="_helper"), args=[ast.Constant(value=str(kind)), _]):
                used["SSL"].add(kind)
            case ast.Attribute(attr=attribute) if attribute.startswith("_") and attribute[1] != "_":
                used["objects"].add(attribute)
    known = {part: set(names.split()) for part, names in tried.NAMES.items()}
    assert {part: used[part] for part in PARTS.values()} == {
        part: known[part] for part in PARTS.values()
    }
    assert used["objects"] == known["Context"] | known["Connection"]
