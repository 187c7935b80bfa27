"""What other servers' and clients' test suites ask of a server, where the RFCs are with them.

Read for it: rclone's backend suite, curl's ftpserver.pl and test data, suppaftp, ftputil and
PyFilesystem against a real server, jlaffaye/ftp, commons-net, Net::FTP, pyftpdlib's and ProFTPD's
own tests. What we answer otherwise on purpose is in ``docs/reference/differences.md``.
"""

from __future__ import annotations

import re
import ssl
from ftplib import parse150

import pytest

from tests.fixtures.served import Serve, ServedFtps


@pytest.fixture(params=["filesystem", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing(storage=request.param)


# --- REST and the transfer that follows it (RFC 3659 §5.3) ---------------------------------------


def test_appe_after_rest_goes_on_where_rest_says_or_is_refused(standing: Serve) -> None:
    ftps = standing(options={"part_size": 64 * 1024})
    data = bytes(range(256)) * 1024  # 256 KiB
    with ftps.login() as client:
        client.truncated_upload("rest-appe.bin", data[:200_000])
    with ftps.login() as client:
        durable = client.size("rest-appe.bin")
        assert durable
        # SIZE told the length, so APPE alone would join there: bytes from another place.
        assert client.try_to_store("APPE rest-appe.bin", data[9:], rest=9).startswith("554")
        assert client.size("rest-appe.bin") == durable
        done = client.try_to_store("APPE rest-appe.bin", data[durable:], rest=durable)
        assert done.startswith("226")
        assert f"joined at {durable}" in done
        assert client.download("rest-appe.bin") == data


def test_nothing_is_appended_to_a_finished_file_and_the_reply_says_what_to_do(
    anywhere: ServedFtps,
) -> None:
    """What sends a file in blocks (fsspec) has stored the first of them as a whole file."""
    with anywhere.login() as client:
        client.upload("blocks.bin", b"first block")
        for line, rest in (("STOR", 11), ("STOR", 5), ("APPE", 11), ("APPE", 0)):
            reply = client.try_to_store(f"{line} blocks.bin", b"second block", rest=rest)
            assert reply.startswith("550"), (line, rest)
            assert "block_size" in reply
            assert "TYPE I" in reply
        assert client.download("blocks.bin") == b"first block"
        client.delete("blocks.bin")


def test_appe_after_rest_stores_no_tail_as_a_whole_file(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        assert client.try_to_store("APPE tail.bin", b"tail", rest=100).startswith("554")
        assert client.try_to_store("APPE tail.bin", b"whole", rest=0).startswith("226")
        assert client.download("tail.bin") == b"whole"
        client.delete("tail.bin")


def test_stou_after_rest_stores_no_tail_as_a_whole_file(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        before = client.names()
        assert client.try_to_store("STOU", b"tail", rest=100).startswith("554")
        assert client.names() == before


def test_the_reply_to_stou_has_the_name_where_net_ftp_looks_for_it(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        found = re.search(r"unique file name:\s*(\S*)\s*\)", client.try_to_store("STOU", b"x"))
        assert found is not None
        assert client.download(found[1]) == b"x"


def test_the_reply_before_a_download_has_the_bytes_in_brackets(ftps: ServedFtps) -> None:
    """What ftplib, curl and wget look for."""
    ftps.store.put("acme/brackets.bin", b"0123456789")
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        for offset, left in ((0, 10), (4, 6)):
            client.sendcmd(f"REST {offset}")
            client.makepasv()
            client.putcmd("RETR brackets.bin")
            assert parse150(client.getresp()) == left
            assert client.reply_to("ABOR").startswith("426 The transfer ended before all was sent")
            assert client.getresp().startswith("226")


def test_abor_of_a_listing_does_not_speak_of_storing(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.makepasv()
        client.putcmd("LIST")
        assert client.getresp().startswith("150")
        assert client.reply_to("ABOR").startswith("426 The transfer ended before all was sent")
        assert client.getresp().startswith("226")


# --- HOST (RFC 7151) ------------------------------------------------------------------------------

HOSTS = {
    "ftp.example.com": "220", "FTP.Example.com.": "220", "localhost": "220",
    "xn--e1afmkfd.com": "220", "192.0.2.1": "220", "[2001:db8::1]": "220",
    "192.0.2.1:2112": "501", "[2001:db8::1]:2112": "501", "ftp.example.com:21": "501",
    "2001:db8::1": "501", "a..b": "501", "a b": "501", "": "501",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTS)
def test_host_takes_names_and_addresses_without_a_port(ftps: ServedFtps, name: str) -> None:
    with ftps.connect(tls=False) as client:
        assert client.reply_to(f"HOST {name}").startswith(HOSTS[name])


def test_host_is_a_feature_and_comes_before_the_login(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert "\n HOST\n" in client.sendcmd("FEAT")
        assert client.reply_to("HOST localhost").startswith("503")


def test_host_is_the_name_that_tls_was_begun_with(ftps: ServedFtps) -> None:
    """RFC 7151 §3.2.2."""
    with ftps.connect(tls=False) as client:
        client.sendcmd("AUTH TLS")
        assert client.sock is not None
        client.sock = client.context.wrap_socket(client.sock, server_hostname="localhost")
        client.file = client.sock.makefile(encoding="utf-8")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sendcmd("HOST LOCALHOST").startswith("220")
        assert client.reply_to("HOST other.example.com").startswith("504")
        assert client.sendcmd("HOST 127.0.0.1").startswith("220")


# --- OPTS (RFC 2389 §4, RFC 3659 §7.9) ------------------------------------------------------------


@pytest.mark.parametrize("options", ["unique type;", "fish cakes;", "type ;", ";", "type;;size;"])
def test_facts_that_are_no_list_are_501_and_change_nothing(ftps: ServedFtps, options: str) -> None:
    with ftps.login() as client:
        assert client.sendcmd("OPTS MLST size;type;") == "200 MLST OPTS type;size;"
        assert client.reply_to(f"OPTS MLST {options}").startswith("501")
        assert "MLST type*;size*;modify;perm;" in client.sendcmd("FEAT")


def test_facts_that_we_do_not_have_are_left_out(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.sendcmd("opts mlst lang;Type;charset;create;") == "200 MLST OPTS type;"
        for nothing in ("OPTS MLST", "OPTS MLST fish;cakes;"):
            assert client.sendcmd(nothing).rstrip() == "200 MLST OPTS"
            assert client.sendcmd("MLST").splitlines()[1] == "  /"  # two blanks (§7.2)


def test_an_option_that_cannot_be_had_is_501(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        for option in ("UTF8 OFF", "EPSV", "MODE Z LEVEL 9", "MLSD"):
            assert client.reply_to(f"OPTS {option}").startswith("501")


# --- replies --------------------------------------------------------------------------------------


def test_stat_of_a_large_directory_says_that_it_is_not_all(served: Serve) -> None:
    ftps = served()
    for number in range(101):
        ftps.store.put(f"acme/many/{number:03}", b"")
        if number < 100:
            ftps.store.put(f"acme/hundred/{number:03}", b"")
    with ftps.login() as client:
        assert client.sendcmd("STAT hundred").splitlines()[-1] == "212 End"
        many = client.sendcmd("STAT many").splitlines()
        assert many[-1].startswith("212 These are the first 100;")
        assert len(many) == 102
        assert client.sendcmd("STAT many/00*").splitlines()[-1] == "212 End"


def test_acct_is_superfluous(ftps: ServedFtps) -> None:
    """RFC 959 §5.4 has 202 for it, and no 502."""
    with ftps.login() as client:
        assert client.sendcmd("ACCT project").startswith("202")
        assert client.sendcmd("PWD").startswith("257")
    with ftps.connect() as client:
        assert client.reply_to("ACCT project").startswith("530")


def test_epsv_tells_a_wrong_protocol_from_a_wrong_argument(ftps: ServedFtps) -> None:
    """RFC 2428 §3."""
    with ftps.login() as client:
        for line in ("EPSV 2", "EPSV 3"):
            assert re.match(r"522 .*\(1\)", client.reply_to(line))
        for line in ("EPSV x", "EPSV 1 2", "EPSV |1|", "EPSV -1"):
            assert client.reply_to(line).startswith("501")


def test_a_reply_of_several_lines_ends_with_its_own_code(ftps: ServedFtps) -> None:
    """RFC 959 §4.2: and no line within could be taken for its end."""
    ftps.store.put("acme/lines/211 End", b"x")
    with ftps.login() as client:
        for line in ("FEAT", "HELP", "STAT", "STAT lines", "MLST lines/211 End"):
            reply = client.sendcmd(line).splitlines()
            code = reply[0][:3]
            assert reply[0][3] == "-"
            assert reply[-1].startswith(f"{code} ")
            assert all(within.startswith(" ") for within in reply[1:-1]), reply


def test_a_path_in_a_reply_has_its_quotes_doubled(anywhere: ServedFtps) -> None:
    """RFC 959 appendix II."""
    with anywhere.login() as client:
        client.reply_to('RMD q"1"')
        assert client.sendcmd('MKD q"1"').startswith('257 "/q""1""" ')
        assert client.cwd('q"1"').startswith('250 "/q""1""" ')
        assert client.pwd() == '/q"1"'
        assert client.sendcmd("CDUP").startswith('250 "/" ')
