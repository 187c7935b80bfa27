"""The line parser: bytes in, whole commands out, nothing guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securedrop_ftp.ftps.wire import Command, LineParser, Violation, parse


def lines(parser: LineParser) -> list[Command | Violation]:
    return list(iter(parser.next, None))


def test_a_command_is_a_verb_and_an_argument() -> None:
    assert parse(b"stor  a b ") == Command("STOR", " a b ")


def test_lines_that_come_in_pieces_are_whole_in_the_end() -> None:
    parser = LineParser(100)
    found = []
    for byte in b"USER anna\r\nPASS x y\r\n":
        parser.feed(bytes([byte]))
        found += lines(parser)
    assert found == [Command("USER", "anna"), Command("PASS", "x y")]


@pytest.mark.parametrize("line", [b"xx\xffQUIT", "ſYST".encode(), b"QU IT"[:2] + b"-T", b"", b" "])
def test_a_verb_that_is_not_plain_ascii_is_not_understood(line: bytes) -> None:
    assert isinstance(parse(line), Violation)


@pytest.mark.parametrize("argument", [b"a\nb", b"a\x00b", b"a\x1b[2J", b"a\rb", b"\xff\xfe"])
def test_an_argument_with_control_characters_or_bad_utf8_is_refused(argument: bytes) -> None:
    assert isinstance(parse(b"STOR " + argument), Violation)


def test_telnet_synch_before_abor_is_skipped() -> None:
    assert parse(b"\xff\xf4\xff\xf2ABOR") == Command("ABOR")


def test_the_tail_of_an_overlong_line_never_runs() -> None:
    parser = LineParser(100)
    parser.feed(b"STOR " + b"a" * 500)
    first = lines(parser)
    parser.feed(b"a" * 500 + b"\r\nDELE kept\r\nNOOP\r\n")
    assert [type(item) for item in first] == [Violation]
    assert lines(parser) == [Command("DELE", "kept"), Command("NOOP")]


def test_a_second_overlong_line_is_fatal() -> None:
    parser = LineParser(10)
    parser.feed(b"x" * 50 + b"\r\n" + b"y" * 50 + b"\r\n")
    assert [item.fatal for item in lines(parser) if isinstance(item, Violation)] == [False, True]


def test_an_http_verb_is_fatal() -> None:
    found = parse(b"POST / HTTP/1.1")
    assert isinstance(found, Violation)
    assert found.fatal


def test_a_megabyte_without_an_end_costs_no_memory() -> None:
    parser = LineParser(4096)
    for _ in range(1024):
        parser.feed(b"a" * 1024)
        lines(parser)
    assert len(parser._buffer) <= 4096 + 1024


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_how_input_is_cut_into_reads_changes_nothing(data: bytes, cuts: list[int]) -> None:
    whole, cut = LineParser(1000), LineParser(1000)
    whole.feed(data)
    expected = lines(whole)
    found: list[Command | Violation] = []
    at = 0
    for end in [*sorted(cuts), len(data)]:
        cut.feed(data[at : max(at, end)])
        at = max(at, end)
        found += lines(cut)
    assert found == expected
