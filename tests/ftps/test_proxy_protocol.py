"""PROXY headers, by the examples and bounds of HAProxy's doc/proxy-protocol.txt."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securedrop_ftp.ftps.proxy_protocol import (
    LOCAL_HEADER,
    V1_MAX,
    V2_MAX,
    Header,
    HeaderReader,
    MalformedHeader,
    crc32c,
    parse,
)

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
V4 = bytes((192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0x00, 0x15))
V6 = bytes.fromhex("20010db8" + "0" * 22 + "07" + "20010db8" + "0" * 22 + "01" + "dc040015")
FIELD = b"\x05\x00\x03abc"  # PP2_TYPE_UNIQUE_ID


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + rest


def with_checksum(header: bytes, *, flip: int = 0) -> bytes:
    length = int.from_bytes(header[14:16], "big") + 7
    blank = header[:14] + length.to_bytes(2, "big") + header[16:] + b"\x03\x00\x04" + bytes(4)
    return blank[:-4] + (crc32c(blank) ^ flip).to_bytes(4, "big")


GOOD = {
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 21\r\n": Header("192.0.2.7", "198.51.100.1"),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": Header(
        "255.255.255.255", "255.255.255.255"
    ),
    b"PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n": Header("192.0.2.7", "198.51.100.1"),
    b"PROXY TCP6 2001:DB8::7 2001:db8:0::1 56324 21\r\n": Header("2001:db8::7", "2001:db8::1"),
    b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 21\r\n": Header(
        "192.0.2.7", "198.51.100.1"
    ),
    b"PROXY TCP6 " + (b"ffff:" * 7 + b"ffff ") * 2 + b"65535 65535\r\n": Header(
        ":".join(["ffff"] * 8), ":".join(["ffff"] * 8)
    ),
    b"PROXY UNKNOWN\r\n": Header(),
    b"PROXY UNKNOWN " + (b"ffff:" * 7 + b"ffff ") * 2 + b"65535 65535\r\n": Header(),
    b"PROXY UNKNOWN whatever it says\r\n": Header(),
    v2(0x21, 0x11, V4): Header("192.0.2.7", "198.51.100.1"),
    v2(0x21, 0x11, V4 + FIELD): Header("192.0.2.7", "198.51.100.1"),
    v2(0x21, 0x21, V6): Header("2001:db8::7", "2001:db8::1"),
    v2(0x21, 0x21, V6 + FIELD * 3): Header("2001:db8::7", "2001:db8::1"),
    v2(0x21, 0x31, bytes(216)): Header(),  # a Unix socket
    v2(0x21, 0x00, b""): Header(),
    v2(0x21, 0x00, b"skipped"): Header(),
    LOCAL_HEADER: Header(),
    v2(0x20, 0x11, V4): Header(),  # the addresses of a LOCAL header mean nothing
    v2(0x20, 0xFF, b"skipped"): Header(),
    with_checksum(v2(0x21, 0x11, V4 + FIELD)): Header("192.0.2.7", "198.51.100.1"),
    v2(0x21, 0x11, V4 + b"\x04\x0f\x00" + bytes(0xF00)): Header("192.0.2.7", "198.51.100.1"),
}

BAD = [
    b"USER alice\r\n",
    b"\x16\x03\x01\x00\xc8\x01",  # TLS
    b"PROXY\r\n",
    b"proxy TCP4 192.0.2.7 198.51.100.1 56324 21\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 21\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 21 \r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 21\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 021\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 -1\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324 ٢١\r\n".encode(),
    b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 21\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 21\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 21\r\n",
    b"PROXY TCP6 fe80::1%lo 2001:db8::1 56324 21\r\n",
    b"PROXY TCP4 ftp.example 198.51.100.1 56324 21\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 21\r\n",
    b"PROXY UNKNOWN " + b"x" * (V1_MAX - 14),
    v2(0x11, 0x11, V4),  # version 1
    v2(0x31, 0x11, V4),  # version 3
    v2(0x22, 0x11, V4),  # a command that is none
    v2(0x21, 0x12, V4),  # UDP
    v2(0x21, 0x22, V6),
    v2(0x21, 0x41, V4),
    v2(0x21, 0x11, V4[:-1]),
    v2(0x21, 0x21, V4),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x11, V4 + b"\x05"),
    v2(0x21, 0x11, V4 + b"\x05\x00\x04abc"),
    v2(0x21, 0x11, b"", V2_MAX + 1),
    v2(0x20, 0x00, b"", 65535),
    with_checksum(v2(0x21, 0x11, V4), flip=1),
    SIGNATURE[:-1] + b"X",
]


@pytest.mark.parametrize("data", GOOD)
def test_a_header_is_understood_when_it_is_whole_and_not_before(data: bytes) -> None:
    assert parse(data) == GOOD[data]
    assert all(parse(data[:n]) is None for n in range(len(data)))


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedHeader):
        parse(data)


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(5)
    with near, far:
        yield near, far


@pytest.mark.parametrize("data", GOOD)
def test_nothing_behind_the_header_is_read(
    pair: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    near, far = pair
    behind = b"\r\n\x16\x03\x01PROXY \n"
    far.sendall(data + behind)
    assert HeaderReader().read(near) == GOOD[data]
    assert near.recv(100) == behind


def test_who_closes_in_the_midst_of_it_is_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    far.sendall(b"PROXY TCP4 192")
    reader = HeaderReader()
    assert reader.read(near) is None
    assert reader.began
    far.close()
    with pytest.raises(MalformedHeader):
        reader.read(near)


@settings(max_examples=300, deadline=None)
@given(
    data=st.sampled_from(list(GOOD)),
    behind=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 150), max_size=8),
)
def test_in_whatever_pieces_it_comes_it_is_the_same_header(
    data: bytes, behind: bytes, cuts: list[int]
) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        reader, sent, header = HeaderReader(), 0, None
        for cut in [*sorted(cuts), len(data) + len(behind)]:
            far.sendall((data + behind)[sent:cut])
            sent = max(sent, cut)
            if header is None:
                header = reader.read(near)
                assert (header is not None) == (sent >= len(data))
        assert header == GOOD[data]
        assert (near.recv(100) if behind else b"") == behind


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=120).map(lambda b: b"PROXY " + b),
        st.binary(max_size=300).map(lambda b: SIGNATURE + b),
        st.binary(max_size=300).map(lambda b: v2(0x21, 0x11, V4 + b)),
    )
)
def test_any_bytes_are_a_header_or_a_beginning_or_refused(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(data)
        try:
            header = HeaderReader().read(near)
        except MalformedHeader:
            return
        assert header is None or isinstance(header, Header)
        far.close()
        left = b""
        while chunk := near.recv(1000):
            left += chunk
        assert data.endswith(left)
        if header is None:
            assert not left
