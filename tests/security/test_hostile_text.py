"""Names that a client sends: refused where storage could read them in another way, inert wherever
an operator sees them. Over real sockets, by every verb that takes a name."""

from __future__ import annotations

import pytest

from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import read_reply, secured

#: What has fooled path code before (CVE-2026-30914, CVE-2024-39330): each is refused by itself.
NAMES = [
    "..\\globex\\secret.txt", "a\\b", "\\", "..\\..\\..\\etc\\passwd",
    "a\x00b", "secret.txt\x00.jpg", "a\rb", "a\nb", "a\x1b[2Jb", "a\x7fb", "a\x85b", "a\u2028b",
    "x" * 256, "d/" * 300 + "x" * 500,
]  # fmt: skip

ON_THE_CONTROL_CHANNEL = (
    "CWD", "XCWD", "SIZE", "MDTM", "MLST", "STAT", "DELE", "MKD", "XMKD", "RMD", "XRMD", "RNFR",
    "HASH", "XSHA256",
)  # fmt: skip
ON_A_DATA_CHANNEL = ("STOR", "APPE", "RETR", "LIST", "NLST", "MLSD")


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[1:30])
def test_row_4_a_name_that_storage_could_misread_is_refused_by_every_verb(
    standing: Serve, name: str
) -> None:
    ftps = standing(options={"max_bad_commands": 1000})
    with ftps.login() as client:
        client.upload("/misread.txt", b"x")
        before = set(ftps.store.everything())
        assert client.sock is not None

        def reply_to(verb: str) -> str:
            # ftplib itself would refuse CR and LF.
            client.sock.sendall(f"{verb} {name}\r\n".encode())  # type: ignore[union-attr]
            return client.final_reply()

        for verb in ON_THE_CONTROL_CHANNEL:
            assert reply_to(verb).startswith("501"), verb
        for verb in ON_A_DATA_CHANNEL:
            client.makepasv()
            assert reply_to(verb).startswith("501"), verb
        client.sendcmd("RNFR /misread.txt")
        assert reply_to("RNTO").startswith("501")
        assert client.pwd() == "/"
    assert set(ftps.store.everything()) == before


HOSTILE = "<script>alert(1)</script>'\"\u202egpj.exe{{ 7|add:7 }}"

#: The operator's browser, in a process with the server's settings.
BROWSE = """
from django.contrib.auth.models import User
from django.test import Client
user = User.objects.create_superuser("olga", password="an-operators-password")
client = Client(SERVER_NAME="localhost")
client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
for model in ("auditevent", "upload", "lockout", "livesession"):
    answer = client.get(f"/admin/securedrop_ftp/{model}/", secure=True)
    print(answer.status_code, ascii(answer.content.decode()))
"""


def test_hostile_names_from_the_wire_are_inert_in_the_admin_site(served: Serve) -> None:
    """CVE-2026-44403: a file's or a user's name became markup in the operator's browser."""
    ftps = served(options={"presence_interval": 0.2})
    with secured(ftps) as sock:
        sock.sendall(f"USER {HOSTILE}\r\nPASS x\r\n".encode())
        assert read_reply(sock).startswith(b"331")
        assert read_reply(sock).startswith(b"530")
    with ftps.login() as client:
        client.encoding = "utf-8"
        client.mkd(f"d{HOSTILE}".replace("/", "|"))
        client.upload(HOSTILE.replace("/", "|"), b"x")
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR live" + HOSTILE.replace("/", "|")) as data:
            data.sendall(b"x")
            wait_until(lambda: bool(_live(ftps)), "the live session's row")
            pages = ftps.manage("shell", "-v0", "-c", BROWSE).splitlines()
    assert [page[:3] for page in pages] == ["200"] * 4
    for page in pages:
        for forbidden in ("<script>alert", "\\u202e"):
            assert forbidden not in page.replace("\\\\u202e", "escaped")
        assert "{{ 7|add:7 }}" in page or "alert(1)" not in page
    assert sum("&lt;script&gt;alert(1)" in page for page in pages) >= 3  # else nothing was shown


def _live(ftps: ServedFtps) -> bool:
    rows = ftps.query("SELECT doing FROM securedrop_ftp_livesession")
    return any("alert(1)" in row["doing"] for row in rows)
