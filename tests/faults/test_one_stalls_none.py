"""Row 6: whoever waits for a slow database or a slow storage waits alone."""

from __future__ import annotations

import pytest

from tests.faults.behind import BehindProxy, through_tls
from tests.faults.holding import database_held
from tests.faults.proxy import FaultProxy
from tests.fixtures.cast import password_of
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import MotoServer
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve
from tests.fixtures.stores import BucketStore
from tests.security.test_control_channel import read_reply, secured

#: Seconds in which an answer comes that waits for nothing. The blocked client waits longer.
SOON = 8


def test_row_6_a_login_that_waits_for_the_database_stalls_nobody_else(standing: Serve) -> None:
    ftps = standing()
    with ftps.login("bob") as other, secured(ftps) as waiting:
        assert other.sock is not None
        other.sock.settimeout(SOON)
        with database_held(ftps):
            waiting.sendall(f"USER alice\r\nPASS {password_of('alice')}\r\n".encode())
            assert read_reply(waiting).startswith(b"331")
            for _ in range(20):
                assert other.sendcmd("NOOP").startswith("200")
            assert other.names() is not None
            waiting.settimeout(0.01)
            with pytest.raises(TimeoutError):  # else it waited for nothing
                waiting.recv(1)
        waiting.settimeout(20)
        assert read_reply(waiting).startswith(b"230")


def test_row_6_a_storage_that_does_not_answer_stalls_nobody_else(
    served: Serve, moto_server: MotoServer, certificates: Certificates
) -> None:
    with FaultProxy(moto_server.port, tls=through_tls(certificates), silence=20) as proxy:
        direct = BucketStore(moto_server, moto_server.bucket())
        store = BehindProxy(direct, moto_server.client(), proxy.port)
        ftps = served("sqlite", "s3", start=False)
        ftps.store, ftps.settings["STORAGE_URL"] = store, store.url
        ftps.start()
        with ftps.login("bob") as other, ftps.login() as waiting:
            assert other.sock is not None
            assert waiting.sock is not None
            other.sock.settimeout(SOON)
            proxy.arm("drop")
            waiting.putcmd("SIZE not-there.bin")
            wait_until(lambda: proxy.done["drop"] > 0, "the request that is not answered")
            for _ in range(20):
                assert other.sendcmd("NOOP").startswith("200")
            assert other.reply_to("SIZE not-there-either.bin").startswith("550")
            waiting.sock.settimeout(0.01)
            with pytest.raises(TimeoutError):
                waiting.sock.recv(1)
