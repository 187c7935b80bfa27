"""What others' servers lost on the way, on each TLS profile: last bytes, and later transfers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024

#: Around a TLS record, a MiB and the largest: what goes missing goes missing at an end.
SIZES = [0, 1, 16383, 16384, 16385, MIB - 1, MIB, MIB + 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1]


@pytest.fixture(params=["tls12", "modern"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def spoken(standing: Serve, profile: str) -> ServedFtps:
    return standing() if profile == "tls12" else standing(options={"tls_profile": profile})


@pytest.mark.parametrize("size", SIZES)
def test_no_last_byte_is_lost_at_any_size(spoken: ServedFtps, profile: str, size: int) -> None:
    """proftpd #2015: over TLS 1.3 the end of a transfer went missing."""
    data = os.urandom(size)
    with spoken.login(tls13=profile == "modern") as client:
        assert client.sock.version() == ("TLSv1.3" if profile == "modern" else "TLSv1.2")  # type: ignore[union-attr]
        reply = client.upload(f"whole-{size}.bin", data)
        assert reply.startswith("226")
        assert hashlib.sha256(data).hexdigest() in reply
        back = client.download(f"whole-{size}.bin")
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


def test_ten_transfers_of_one_session_all_resume_it(spoken: ServedFtps, profile: str) -> None:
    """curl #4654: the second transfer, or the fifth, found no session to resume."""
    with spoken.login(tls13=profile == "modern") as client:
        for number in range(5):
            data = os.urandom(50_000)
            assert client.upload(f"again-{number}.bin", data).startswith("226")
            assert client.download(f"again-{number}.bin") == data


def test_five_curl_transfers_of_one_session_all_resume_it(
    spoken: ServedFtps, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"curl-{number}.bin").write_bytes(os.urandom(100_000))
    before = len(spoken.audit("login.succeeded"))
    done = spoken.curl("-T", f"{tmp_path}/curl-[0-4].bin", path="/")
    assert done.returncode == 0, done.stderr
    assert len(spoken.audit("login.succeeded")) == before + 1
    for number in range(5):
        sent = (tmp_path / f"curl-{number}.bin").read_bytes()
        assert spoken.stored(f"acme/curl-{number}.bin") == sent
