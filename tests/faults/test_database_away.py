"""PostgreSQL takes no connections: commands are told so, and the log has a line, no traceback."""

from __future__ import annotations

import ftplib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

import securedrop_ftp.ftps.verbs  # noqa: F401 - fills the registry
from securedrop_ftp.ftps.registry import VERBS
from securedrop_ftp.replies import NOT_NOW
from tests.clients import FtpsClient
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps


@contextmanager
def away(ftps: ServedFtps, postgres: PostgresServer) -> Iterator[None]:
    """The database of the service ends all connections and takes none."""
    name = sql.Identifier(ftps.database_url.rpartition("/")[2])
    with psycopg.connect(postgres.url(), autocommit=True) as other:
        other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            other.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
                [name.as_string(other).strip('"')],
            )
            yield
        finally:
            other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


#: What commands name: a file that is stored, and a name that only the ledger could know.
STORED, UNKNOWN = "/stored.bin", "/unknown.bin"
#: Each verb of the registry that looks into the database, and what its argument names.
LOOKS = {
    "DELE": UNKNOWN,
    "HASH": STORED,
    "LIST": "/",
    "MDTM": UNKNOWN,
    "MLSD": "/",
    "MLST": UNKNOWN,
    "NLST": "/",
    "RNTO": UNKNOWN,
    "SIZE": UNKNOWN,
    "STAT": UNKNOWN,
    "XSHA256": STORED,
}
#: The others that are sent; each changes nothing, or only what the next command finds.
OTHERS = dict.fromkeys(VERBS, STORED) | {"TYPE": "I", "PROT": "P", "PBSZ": "0"}
#: Not sent so: those that move files (below), that end the session or its ways.
NOT_SENT = {"ABOR", "APPE", "AUTH", "PASS", "QUIT", "RETR", "STOR", "STOU", "USER"}


def test_each_verb_is_answered_for_the_moment_and_leaves_one_line(
    served: Serve, postgres: PostgresServer
) -> None:
    ftps = served("postgres")
    ftps.faults_expected = True  # of the database writer, whose rows go to the disk
    with ftps.login() as client:
        assert client.upload(STORED, b"whole").startswith("226")
        with away(ftps, postgres):
            for name in sorted(VERBS.keys() - NOT_SENT - LOOKS.keys()):
                reply = asked(client, name, OTHERS[name])
                assert not reply.startswith(("421", "451")), (name, reply)
            client.voidcmd("CWD /")
            for name, argument in LOOKS.items():
                if name == "RNTO":
                    assert client.reply_to(f"RNFR {STORED}").startswith("350")
                assert asked(client, name, argument) == str(NOT_NOW), name
        lines = [line["verb"] for line in ftps.log_lines("command.database_unavailable")]
        assert sorted(lines) == sorted(LOOKS)
        ours = [line for line in ftps.log_lines() if ".ftps" in str(line.get("logger"))]
        assert not [line for line in ours if "Traceback" in str(line)]

        wait_until(lambda: client.reply_to(f"HASH {STORED}")[0] == "2", "the database's return")
        assert client.reply_to(f"SIZE {UNKNOWN}").startswith("550")


def asked(client: FtpsClient, name: str, argument: str) -> str:
    """The last reply to a command; with a data channel where it moves data."""
    found = VERBS[name]
    line = name if found.argument is False else f"{name} {argument}"
    if not found.is_transfer:
        return client.reply_to(line)
    try:
        with client.transfercmd(line):
            pass
    except ftplib.Error as exc:
        return str(exc)
    return client.final_reply()
