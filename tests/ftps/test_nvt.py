"""Line ends under TYPE A, wherever the pieces are cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from securedrop_ftp.ftps.nvt import FromNvt, to_nvt

#: Mostly what matters.
TEXTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"\0", b"\xff"])).map(b"".join)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def received(pieces: list[bytes]) -> bytes:
    converter = FromNvt()
    return b"".join([*map(converter.convert, pieces), converter.end()])


@given(TEXTS, st.lists(st.integers(0)))
def test_only_cr_lf_becomes_lf_wherever_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert received(cut(data, cuts)) == data.replace(b"\r\n", b"\n")


@given(TEXTS, st.lists(st.integers(0)), st.lists(st.integers(0)))
def test_what_was_sent_comes_back_to_the_byte(
    data: bytes, cuts: list[int], more_cuts: list[int]
) -> None:
    sent = b"".join(map(to_nvt, cut(data, cuts)))
    assert received(cut(sent, more_cuts)) == data


@given(st.lists(st.sampled_from([b"\r", b"x", b"\r\n", b"\0"])).map(b"".join))
def test_what_came_as_lines_goes_out_as_it_came(sent: bytes) -> None:
    assert to_nvt(received([sent])) == sent


@given(TEXTS)
def test_a_piece_is_at_most_one_byte_longer_than_what_came(data: bytes) -> None:
    converter = FromNvt()
    assert len(converter.convert(b"\r")) + len(converter.convert(data)) <= len(data) + 1
