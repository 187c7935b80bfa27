"""Whose TLS session opens a data channel: its own control connection's, or that of a live one of
the same account and address (a *sibling*), on any worker. Nobody else's, ever.

``make test-siblings`` runs the long form of the random tries.
"""

from __future__ import annotations

import os
import random
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest

from securedrop_ftp.ftps.handshakes import BURST
from securedrop_ftp.ftps.passive import MAX_CANDIDATES
from tests.clients import TIMEOUT, FtpsClient, tls_context
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

TRIES = int(os.environ.get("SIBLING_TRIES", "120"))
#: Tries at one address: a partner's handshakes that resume nothing have a bound there.
TRIES_EACH = 12
SEED = int(os.environ.get("SIBLING_SEED", "95"))
#: Of the service; the long form runs on both.
PROFILE = os.environ.get("SIBLING_PROFILE", "modern")

CONTENTS = b"for alice alone"

#: How a client remembers sessions: TLS 1.2 by id (curl) or by ticket, and TLS 1.3.
KINDS = ("ids", "tickets", "tls13") if PROFILE == "modern" else ("ids", "tickets")


@pytest.fixture(scope="module")
def two(standing: Serve) -> ServedFtps:
    """Two workers, TLS 1.2 and 1.3 (:data:`PROFILE`), and a colleague of alice's."""
    ftps = standing(workers=2, options={"tls_profile": PROFILE}, env={"ALONE": "siblings"})
    secret = password_of("zoe") + "\n"
    ftps.manage("account_create", "acme", "zoe", "--password-stdin", stdin=secret)
    ftps.store.put("acme/secret.txt", CONTENTS)
    ftps.store.put("globex/secret.txt", b"for bob alone")
    return ftps


def remembering(ftps: ServedFtps, kind: str) -> ssl.SSLContext:
    """A context that all connections of one client program share."""
    context = tls_context(ftps.ca, tls13=kind == "tls13")
    if kind == "ids":
        context.options |= ssl.OP_NO_TICKET
    return context


@dataclass
class Connection:
    """A control connection, and what its client knows of its TLS session."""

    client: FtpsClient
    account: str
    address: str
    session: ssl.SSLSession


@contextmanager
def connection(
    ftps: ServedFtps, context: ssl.SSLContext, account: str = "alice", source: str = "127.0.0.1"
) -> Iterator[Connection]:
    """Logged in, unless ``account`` is empty."""
    client = FtpsClient(context=context, timeout=TIMEOUT)
    try:
        client.connect("127.0.0.1", ftps.port, source_address=(source, 0))
        client.auth()
        if account:
            log_in(client, account)
        else:
            client.voidcmd("NOOP")  # TLS 1.3's tickets have come then
        control = client.sock
        assert isinstance(control, ssl.SSLSocket)
        assert control.session is not None
        yield Connection(client, account, source, control.session)
    finally:
        with suppress(Exception):
            client.close()


def log_in(client: FtpsClient, account: str) -> None:
    client.login(account, password_of(account), secure=False)
    client.prot_p()


def opens(one: Connection, session: ssl.SSLSession | None, source: str = "") -> bool:
    """Whether a data connection of ``one`` that offers ``session`` has its file."""
    client = one.client
    address = client.makepasv()
    with socket.create_connection(address, TIMEOUT, (source or one.address, 0)) as sock:
        client.putcmd("RETR secret.txt")
        try:
            with client.context.wrap_socket(
                sock, server_hostname="127.0.0.1", session=session
            ) as tls:
                got = tls.recv(1000)
                if got:
                    tls.unwrap()
        except (ssl.SSLError, OSError):
            got = b""
    if got:
        assert got == (CONTENTS if one.account in ("alice", "zoe") else b"for bob alone")
        assert client.getresp().startswith("150")
        assert client.getresp().startswith("226")
        return True
    client.putcmd("ABOR")
    while not client.final_reply().startswith(("225", "226")):
        pass
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_row_95_a_session_of_any_live_sibling_opens_a_data_channel(
    two: ServedFtps, kind: str
) -> None:
    with ExitStack() as stack:
        context = remembering(two, kind)
        family = [stack.enter_context(connection(two, context)) for _ in range(4)]
        for one in family:
            for other in family:
                # A ticket of TLS 1.3 is for one use; Python takes what came last.
                assert opens(one, other.session), (kind, family.index(one), family.index(other))


def not_its_own(
    two: ServedFtps, stack: ExitStack, context: ssl.SSLContext, whose: str
) -> Connection:
    """A control connection whose session opens nothing of alice's at 127.0.0.1."""
    account = {"a colleague": "zoe", "another partner": "bob", "nobody yet": ""}.get(whose, "alice")
    source = "127.0.0.2" if whose == "another address" else "127.0.0.1"
    other = stack.enter_context(connection(two, context, account, source))
    if whose == "one that quit":
        assert other.client.reply_to("QUIT").startswith("221")
    elif whose == "one that vanished":
        other.client.close()
        time.sleep(0.2)
    return other


STRANGERS = (
    "a colleague",
    "another partner",
    "nobody yet",
    "another address",
    "one that quit",
    "one that vanished",
)


@pytest.mark.parametrize("whose", STRANGERS)
@pytest.mark.parametrize("kind", KINDS)
def test_row_95_no_other_session_does(two: ServedFtps, kind: str, whose: str) -> None:
    with ExitStack() as stack:
        context = remembering(two, kind)
        # Two of each, so that both workers have one.
        ours = [stack.enter_context(connection(two, context)) for _ in range(2)]
        others = [not_its_own(two, stack, context, whose) for _ in range(2)]
        for one in ours:
            for other in others:
                assert not opens(one, other.session)
        assert opens(ours[0], ours[0].session)


@pytest.mark.parametrize("kind", KINDS)
def test_row_95_a_sibling_that_is_still_logging_in_is_waited_for(
    two: ServedFtps, kind: str
) -> None:
    context = remembering(two, kind)
    with connection(two, context) as one, connection(two, context, "") as late:
        address = one.client.makepasv()
        with socket.create_connection(address, TIMEOUT) as sock:
            one.client.putcmd("RETR secret.txt")
            with context.wrap_socket(
                sock, server_hostname="127.0.0.1", session=late.session
            ) as tls:
                log_in(late.client, "alice")
                assert tls.recv(1000) == CONTENTS
                tls.unwrap()
        assert one.client.getresp().startswith("150")
        assert one.client.getresp().startswith("226")


@pytest.mark.parametrize("kind", KINDS)
def test_row_96_a_session_made_on_a_data_port_opens_nothing(two: ServedFtps, kind: str) -> None:
    """Who is refused there goes away with a TLS session all the same, and may come back with it."""
    context = remembering(two, kind)
    with connection(two, context) as one:
        with socket.create_connection(one.client.makepasv(), TIMEOUT) as sock:
            tls = context.wrap_socket(sock, server_hostname="127.0.0.1")
            tls.settimeout(1.0)  # tickets of TLS 1.3 would have come
            with suppress(OSError):
                tls.recv(1)
            stolen = tls.session
        assert stolen is not None
        assert not opens(one, stolen)
        assert opens(one, one.session)


@pytest.mark.parametrize("kind", KINDS)
def test_row_102_from_another_address_the_very_session_opens_a_data_channel(
    two: ServedFtps, kind: str
) -> None:
    context = remembering(two, kind)
    with connection(two, context) as one, connection(two, context) as sibling:
        assert opens(one, one.session, source="127.0.0.3")
        assert not opens(one, sibling.session, source="127.0.0.3")
        assert not opens(one, None, source="127.0.0.3")
        assert opens(one, one.session)


@pytest.mark.parametrize("kind", KINDS)
def test_another_protocols_alpn_on_a_data_channel_is_refused_and_does_no_harm(
    two: ServedFtps, kind: str
) -> None:
    context = remembering(two, kind)
    with connection(two, context) as one, connection(two, context) as sibling:
        for session in (one.session, sibling.session):
            context.set_alpn_protocols(["h2"])
            assert not opens(one, session)
            context.set_alpn_protocols(["ftp"])
            assert opens(one, session)


def test_row_102_connections_from_elsewhere_do_not_keep_the_owner_out(two: ServedFtps) -> None:
    context = remembering(two, "tickets")
    with connection(two, context) as one, ExitStack() as stack:
        address = one.client.makepasv()
        with socket.create_connection(address, TIMEOUT) as mine:
            for _ in range(40):
                stack.enter_context(socket.create_connection(address, 20, ("127.0.0.3", 0)))
            one.client.putcmd("RETR secret.txt")
            with context.wrap_socket(mine, server_hostname="127.0.0.1", session=one.session) as tls:
                assert tls.recv(1000) == CONTENTS
                tls.unwrap()


def test_row_67_what_others_have_spent_is_not_held_against_the_owner(two: ServedFtps) -> None:
    """A neighbour at the owner's address (NAT) that offers what is not the owner's."""
    context = remembering(two, "tickets")
    with (
        connection(two, context, source="127.0.0.9") as one,
        connection(two, context, "bob", source="127.0.0.9") as neighbour,
    ):
        for _ in range(3 * BURST):
            with (
                suppress(OSError),
                socket.create_connection(one.client.makepasv(), TIMEOUT, ("127.0.0.9", 0)) as sock,
                context.wrap_socket(sock, server_hostname="127.0.0.1", session=neighbour.session),
            ):
                pass
        assert opens(one, one.session)


def test_row_67_sessions_that_never_log_in_have_a_bound(two: ServedFtps) -> None:
    """Each such candidate has the patience of the port, in case it is a sibling's."""
    context, source = remembering(two, "tickets"), "127.0.0.8"
    with (
        connection(two, context, source=source) as one,
        connection(two, context, "", source=source) as stranger,
        ExitStack() as stack,
    ):
        address = one.client.makepasv()
        one.client.putcmd("RETR secret.txt")
        crowd = []
        for _ in range(MAX_CANDIDATES):
            sock = stack.enter_context(socket.create_connection(address, TIMEOUT, (source, 0)))
            crowd.append(
                context.wrap_socket(sock, server_hostname="127.0.0.1", session=stranger.session)
            )
        for tls in crowd:
            with suppress(OSError):
                assert not tls.recv(1)
        assert one.client.getresp().startswith("150")
        assert one.client.final_reply().startswith("522")
        address = one.client.makepasv()
        one.client.putcmd("RETR secret.txt")
        with (
            socket.create_connection(address, TIMEOUT, (source, 0)) as sock,
            pytest.raises(OSError, match=r"reset|EOF"),
        ):
            context.wrap_socket(sock, server_hostname="127.0.0.1", session=stranger.session)
        assert one.client.getresp().startswith("150")
        assert one.client.final_reply().startswith("522")
        assert opens(one, one.session)


def household(
    ftps: ServedFtps, stack: ExitStack, context: ssl.SSLContext, number: int
) -> list[Connection]:
    """One address with two of alice's connections, a colleague, another partner and a stranger; and
    one of alice's from the address next to it."""
    here, beside = (
        f"127.1.{number // 100}.{number % 100 * 2 + 1}",
        f"127.1.{number // 100}.{number % 100 * 2 + 2}",
    )
    cast = [("alice", here), ("alice", here), ("zoe", here), ("bob", here), ("", here)]
    return [
        stack.enter_context(connection(ftps, context, account, source))
        for account, source in (*cast, ("alice", beside))
    ]


@pytest.mark.timeout(1200 + TRIES)
def test_row_95_random_tries_open_what_is_their_own_and_nothing_else(two: ServedFtps) -> None:
    chance = random.Random(SEED)
    refused = opened = 0
    for number in range(TRIES // TRIES_EACH):
        context = remembering(two, KINDS[number % len(KINDS)])
        with ExitStack() as stack:
            people = household(two, stack, context, number)
            gone = stack.enter_context(connection(two, context, "alice", people[0].address))
            assert gone.client.reply_to("QUIT").startswith("221")
            cast = [*people, gone]
            # The session of one who has not logged in costs the patience of the port, each time.
            weights = [1.0 if person.account else 0.2 for person in cast]
            for _ in range(TRIES_EACH):
                one = chance.choice([person for person in people if person.account])
                (whose,) = chance.choices(cast, weights)
                own = whose is not gone and (whose.account, whose.address) == (
                    one.account,
                    one.address,
                )
                assert opens(one, whose.session) == own, (number, one, whose)
                opened, refused = opened + own, refused + (not own)
    print(f"{refused} refused and {opened} opened, as they should be")
    assert refused > opened > 0
