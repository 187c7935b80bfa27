"""A session without sockets, loop, pools or database: its verbs run as they are, at once.

What the verbs ask of storage is asked; what they ask of the ledger is answered with nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import Conf
from securedrop_ftp.engine.reads import ReadBudget
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps import verbs
from securedrop_ftp.ftps.client import Account
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.parking import Waiter
from securedrop_ftp.ftps.registry import VERBS
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.ftps.wire import Command
from securedrop_ftp.intake.directories import Directories
from securedrop_ftp.intake.meaning import Meaning
from securedrop_ftp.intake.naming import Naming
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.intake.service import UploadRequest
from securedrop_ftp.intake.stored_digest import digest_of_object
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend, ObjectSpec

#: These take no name: they make or end a connection or a login.
OF_CONNECTIONS = {"USER", "PASS", "AUTH", "PBSZ", "PROT", "QUIT", "PASV", "EPSV", "ABOR"}

assert verbs.__all__  # importing the package registers the verbs

NOBODY = "00000000-0000-0000-0000-000000000000"


def given(value: Any = None) -> Future[Any]:
    """A future that is done."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class QuietLoop:
    READ, WRITE = 1, 2

    def call_soon_threadsafe(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args: None


class QuietUpload:
    """Stores at the key that the verb made of its name."""

    error = None

    def __init__(self, storage: ConfinedStorage, request: UploadRequest) -> None:
        self._storage, self._request = storage, request
        self.attempt = SimpleNamespace(joined_at=None)

    def narrow(self, _limit: int | None) -> None:
        """Nothing is too large."""

    def finish(self, _sent: object = None) -> Future[Any]:
        spec = ObjectSpec(self._request.key, NOBODY)
        self._storage.put_object(spec, memoryview(b"x"), sha256="", replace=True)
        return given(Receipt(1, "", self._request.path, self._request.key))

    def cancel(self, _cause: Exception) -> Future[Any]:
        return given()


class QuietChannel:
    """Sends to nobody, receives nothing."""

    closed, moved = False, 0

    def receive_all(self, _sink: QuietUpload, _judge_fin: object = None) -> Waiter[None]:
        return _settled()

    def send_all(self, source: Any) -> Waiter[None]:
        while (chunk := source.next()) != b"":
            assert chunk is not None
        return _settled()

    def take(self, *, uploads: bool) -> QuietChannel:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args: None


def _settled() -> Waiter[None]:
    waiter: Waiter[None] = Waiter()
    waiter.set(None)
    return waiter


class QuietContext:
    """The intake's, with a ledger that knows of nothing and takes everything."""

    def __init__(self, storage: ConfinedStorage) -> None:
        self.conf, self.unsettled = Conf(), SimpleNamespace(leave=lambda _job: None)
        self.ledger = SimpleNamespace(
            owner="node:ftps:boot:0", lease=timedelta(60), run=lambda _job: []
        )
        self.storage = lambda _principal: storage


class QuietMeaning(Meaning):
    def _own(self, *_args: object) -> None:
        return None


class QuietNaming(Naming):
    def _holder(self, _name: object) -> None:
        return None

    def _now(self) -> datetime:
        return datetime.now(UTC)


class QuietRuntime:
    """The :class:`~securedrop_ftp.ftps.runtime.Runtime` of one session; its intake too."""

    def __init__(self, storage: ConfinedStorage) -> None:
        self.conf, self.loop, self.intake = Conf(), QuietLoop(), self
        self.draining = None
        self.kinship = SimpleNamespace(prove=lambda *_who: None)
        self.reads = ReadBudget(1 << 40)
        self._storage = storage
        context: Any = QuietContext(storage)
        self.directories = Directories(context)
        self.meaning, self.naming = QuietMeaning(context, self), QuietNaming(context)  # type: ignore[arg-type]

    def accounts(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return given("" if function is digest_of_object else function(*args))

    def storage(self, _partner: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except SecureDropError as exc:
            future.set_exception(exc)
        return future

    def record(self, _event: object) -> Future[None]:
        return given()

    def begin(self, request: UploadRequest) -> QuietUpload:
        return QuietUpload(self._storage, request)

    def suspended_for(self, *_args: object) -> None:
        return None

    def at_or_ending(self, *_args: object) -> None:
        """Of :class:`~securedrop_ftp.intake.suspended.SuspendedUploads`."""

    def suspended_under(self, *_args: object) -> list[Any]:
        return []


class QuietSession(Session):
    """Logged in as an account with every permission under ``root``."""

    def __init__(self, backend: Backend, root: str) -> None:
        storage = ConfinedStorage(backend, root)
        sock = socket.socket()
        super().__init__(QuietRuntime(storage), sock, Origin("127.0.0.1"), 0)  # type: ignore[arg-type]
        sock.close()
        self.tls = object()  # type: ignore[assignment]
        self.data.protected, self.dialogue.type_a = True, False
        principal = Principal(
            1, "alice", 1, "acme", root, "default", frozenset(Permission),
            OverwritePolicy.REPLACE, None, 20, 20, True, 3600, 300, 0, create_directories=True,
        )  # fmt: skip
        self.admit(Account(principal), storage)
        assert self.logged_in is not None
        self.files = self.logged_in.fs
        self.offload.sleep_until = self._at_once  # type: ignore[method-assign]

    def renew_tickets(self) -> None:
        """There is no TLS."""

    @staticmethod
    def _at_once(moment: float) -> None:
        """At once: a refusal that is only counted is held back for nobody."""

    def reply(self, reply: Reply) -> None:
        """To nobody."""

    def reply_lines(self, code: int, first: str, lines: list[str], last: str) -> None:
        """To nobody."""

    def end(self, reply: Reply | None, reason: str) -> None:
        """Never."""

    def say(self, verb: str, argument: str) -> bool:
        """One command; whether it was done."""
        self.data.listener = QuietChannel()  # type: ignore[assignment]
        try:
            reply = self.dispatch(Command(verb, argument))
        except SecureDropError:
            return False
        return reply is None or not reply.is_error


def verbs_with_names() -> list[str]:
    """One verb of each implementation; RNTO needs its RNFR, so it is tried apart."""
    found = {verb.run: name for name, verb in VERBS.items() if name not in OF_CONNECTIONS}
    return sorted(found.values())
