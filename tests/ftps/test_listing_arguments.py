"""LIST, NLST and STAT with what clients put behind them: options of ``ls``, patterns, one file."""

from __future__ import annotations

import ftplib
import re
from fnmatch import translate
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securedrop_ftp.ftps.listed import PAGE, SORTED, in_order
from securedrop_ftp.ftps.patterns import Pattern
from securedrop_ftp.storage.protocol import Entry
from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps

FILES = ("b.csv", "a.csv", "c.txt", ".hidden.csv", "data[1].csv", "data1.csv")


@pytest.fixture(params=["filesystem", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    ftps = standing(storage=request.param)
    with ftps.login() as client:
        if "listed" not in client.names("/"):
            client.mkd("listed")
            client.cwd("listed")
            for name in FILES:
                client.upload(name, b"12345")
            client.mkd("-report")
            client.upload("-report/inside.txt", b"1")
            client.upload("-x.txt", b"1")
    return ftps


def lines(client: FtpsClient, command: str) -> list[str]:
    found: list[str] = []
    client.retrlines(command, found.append)
    return found


def names(client: FtpsClient, command: str) -> list[str]:
    """The last words: of NLST the names, and of LIST, too (none of these has a blank)."""
    return [line.rpartition(" ")[2] for line in lines(client, command)]


OPTIONS = ["-a", "-la", "-al", "-1", "-a1", "-lat", "-a -l", "-l -a -t", "-1 -t", "--all", "-R1"]
OPTIONS += ["-L", "-lT", "-la ", " ", "--sort=name", "-a -b -c -d -e"]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_of_ls_list_the_directory(anywhere: ServedFtps, options: str) -> None:
    with anywhere.login() as client:
        client.cwd("listed")
        for command in ("LIST", "NLST"):
            assert "a.csv" in names(client, f"{command} {options}")
        assert "a.csv" in client.sendcmd(f"STAT {options}") or not options.strip()
        client.cwd("/")
        if options.strip():
            assert "a.csv" in names(client, f"LIST {options.strip()} /listed")
            assert "a.csv" in client.sendcmd(f"STAT {options.strip()} listed/")


@pytest.mark.parametrize(
    "argument", ["-report", "./-report", "/listed/-report", "-- -report", "-l -report"]
)
def test_a_directory_that_looks_like_options_is_listed_where_it_is_there(
    anywhere: ServedFtps, argument: str
) -> None:
    with anywhere.login() as client:
        client.cwd("listed")
        assert names(client, f"LIST {argument}") == ["inside.txt"]
        assert [n.rpartition("/")[2] for n in names(client, f"NLST {argument}")] == ["inside.txt"]
        assert "inside.txt" in client.sendcmd(f"STAT {argument}")
        assert names(client, "NLST -x.txt") == ["-x.txt"]


def test_a_pattern_is_expanded_in_its_directory(anywhere: ServedFtps) -> None:
    csv = ["a.csv", "b.csv", "data1.csv", "data[1].csv"]
    with anywhere.login() as client:
        assert names(client, "NLST listed/*.csv") == [f"listed/{name}" for name in csv]
        assert names(client, "NLST /listed/[ab].csv") == ["/listed/a.csv", "/listed/b.csv"]
        assert names(client, "LIST -l listed/*.csv") == csv
        client.cwd("listed")
        assert names(client, "NLST *.csv") == csv
        assert names(client, "NLST .*") == [".hidden.csv"]
        assert names(client, "LIST ?.t*t") == ["c.txt"]
        assert client.sendcmd("STAT *.txt").count("c.txt") == 1
        for name in names(client, "NLST ../listed/*.csv"):
            assert client.download(name) == b"12345"  # what mget does


def test_a_name_that_is_there_wins_over_the_pattern(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.cwd("listed")
        assert names(client, "NLST data[1].csv") == ["data[1].csv"]
        assert names(client, "LIST data[1].csv") == ["data[1].csv"]
        assert names(client, "NLST data[12].csv") == ["data1.csv"]


@pytest.mark.parametrize("argument", ["*.pdf", "nowhere/*.csv", "a.csv/*", "none.txt"])
def test_what_is_not_there_is_550_and_lists_nothing(anywhere: ServedFtps, argument: str) -> None:
    with anywhere.login() as client:
        client.cwd("listed")
        for command in ("LIST", "NLST"):
            with pytest.raises(ftplib.error_perm, match=r"^550"):
                lines(client, f"{command} {argument}")
        assert client.reply_to(f"STAT {argument}").startswith("550")


def test_nlst_gives_names_that_retr_takes(anywhere: ServedFtps) -> None:
    """RFC 1123 §4.1.2.7."""
    with anywhere.login() as client:
        assert names(client, "NLST listed/a.csv") == ["listed/a.csv"]
        for argument in ("listed", "listed/", "/listed", "listed/../listed", "listed/-report/.."):
            found = names(client, f"NLST {argument}")
            assert client.download(next(n for n in found if n.endswith("a.csv"))) == b"12345"
        client.cwd("listed")
        assert names(client, "NLST a.csv") == ["a.csv"]
        for argument in ("", " .", " /listed"):
            assert "a.csv" in names(client, f"NLST{argument}")


def test_listings_are_sorted(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        for command in ("LIST", "NLST", "LIST -a"):
            found = names(client, f"{command} listed")
            assert found == sorted(found)
            assert len(found) == len(FILES) + 2


def test_an_own_suspended_upload_is_found_by_a_pattern(standing: Serve) -> None:
    ftps = standing(options={"part_size": 64 * 1024})
    with ftps.login() as client:
        client.truncated_upload("cut[1].bin", b"x" * 200_000)
    with ftps.login() as client:
        assert names(client, "NLST cut*") == ["cut[1].bin"]
        assert names(client, "NLST cut[1].bin") == ["cut[1].bin"]


def entries(*numbers: int) -> list[Entry]:
    return [Entry(f"d/{number:06}", is_dir=False) for number in numbers]


def test_a_directory_beyond_the_bound_is_sorted_in_its_first_part_and_loses_nothing() -> None:
    count = 2 * SORTED + 7
    pages = [entries(*range(n, -1, -1)[: n + 1]) for n in (count,)]
    cut = [pages[0][i : i + PAGE] for i in range(0, count + 1, PAGE)]
    found = [entry.name for page in in_order(iter(cut)) for entry in page]
    assert sorted(found) == [f"{n:06}" for n in range(count + 1)]
    assert found[:SORTED] == sorted(found[:SORTED])
    assert list(in_order(iter([]))) == []


@pytest.mark.slow
def test_patterns_match_as_a_shell_does() -> None:
    alphabet = "ab*?[!-]."
    for length in (1, 2, 3, 4):
        for chars in product(alphabet, repeat=length):
            text = "".join(chars)
            wanted = re.compile(translate(text))
            for name in ("a", "b", "ab", "ba", "aab", "a.b", "b-a", "a]", "[a", "a!b"):
                expected = name == text or wanted.match(name) is not None
                assert Pattern(text).matches(name) == expected, (text, name)


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_stars_find_what_trying_everything_finds(text: str, name: str) -> None:
    assert Pattern(text).matches(name) == (re.fullmatch(translate(text), name) is not None)
