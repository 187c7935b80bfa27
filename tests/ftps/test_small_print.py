"""What other servers' and clients' test suites ask of a server, where the RFCs are with them.

Read for it: rclone's backend suite, curl's ftpserver.pl and test data, suppaftp, ftputil and
PyFilesystem against a real server, jlaffaye/ftp, commons-net, Net::FTP, pyftpdlib's and ProFTPD's
own tests.
"""

from __future__ import annotations

import re

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
