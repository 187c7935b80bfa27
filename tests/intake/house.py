"""An intake under a test's control: jobs of the pool run when the test says so, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.auth.models import User

from securedrop_ftp.access.principal import Principal, principal_of
from securedrop_ftp.conf import KIB, Conf
from securedrop_ftp.db import DatabaseWriter
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.answers import FTPS
from securedrop_ftp.intake.naming import NameRequest, Renamed
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.intake.service import Intake, UploadRequest, UploadStream
from securedrop_ftp.keys import key_for
from securedrop_ftp.models import Account, AuditEvent, Partner, Upload
from securedrop_ftp.storage.protocol import Backend

CONF = Conf(
    part_size=64 * KIB,
    max_part_size=256 * KIB,
    upload_memory=512 * KIB,
    worker_memory=8192 * KIB,
)


def make_principal(name: str = "acme", user: str = "alice", **changes: Any) -> Principal:
    """A principal whose account and partner exist."""
    defaults = {"mode": "exchange", "storage": "default", "create_directories": True}
    partner, _ = Partner.objects.get_or_create(name=name, defaults=defaults)
    owner, _ = User.objects.get_or_create(username=user)
    account, _ = Account.objects.get_or_create(user=owner, partner=partner)
    return replace(principal_of(account), **changes)


@dataclass
class House:
    """One worker's intake over a backend."""

    backend: Backend
    owner: str = "here:boot:1"
    conf: Conf = CONF
    writer: DatabaseWriter | None = None
    jobs: deque[Callable[[], None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.intake = Intake(
            self.conf,
            submit=lambda partner, job: self.jobs.append(job),
            writer=self.writer,
            backend_for=lambda alias: self.backend,
            owner=self.owner,
        )

    def work(self, limit: int = -1) -> None:
        """Run queued jobs, and those that they queue."""
        while self.jobs and limit:
            limit -= 1
            self.jobs.popleft()()

    def begin(self, principal: Principal, path: str, **changes: Any) -> UploadStream:
        request = UploadRequest(
            principal=principal,
            session=changes.pop("session", "s1"),
            remote_ip="192.0.2.7",
            path=path,
            key=key_for(principal.root, path),
            door=FTPS,
            **changes,
        )
        return self.intake.begin(request)

    def feed(self, stream: UploadStream, data: bytes, chunk: int = 1 << 30) -> None:
        """Write ``data`` as the data channel does, at most ``chunk`` bytes at a time."""
        view = memoryview(data)
        while view:
            room = stream.buffer()
            if room is None:
                if stream.error is not None:
                    return
                assert self.jobs, "back-pressure that nothing relieves"
                self.work(1)
                continue
            count = min(len(room), len(view), chunk)
            room[:count] = view[:count]
            stream.filled(count)
            view = view[count:]

    def finish(self, stream: UploadStream) -> Receipt:
        future = stream.finish()
        self.work()
        assert future.done()
        return future.result()

    def cancel(self, stream: UploadStream, cause: SecureDropError) -> None:
        future = stream.cancel(cause)
        self.work()
        assert future.done()

    def request(self, name: str, principal: Principal, path: str, target: str = "") -> NameRequest:
        """As a session asks, after RNFR or with DELE."""
        meant = self.intake.meaning.finished(principal, path)
        event = Event(name, partner=principal.partner, account=principal.username, path=path)
        return NameRequest(
            principal,
            path,
            meant.key,
            event,
            "451 pending",
            target,
            key_for(principal.root, target) if target else "",
        )

    def rename(self, principal: Principal, source: str, target: str) -> Renamed:
        request = self.request("file.renamed", principal, source, target)
        return self.intake.naming.rename(request, lambda renamed: f"250 {renamed.path}")

    def delete(self, principal: Principal, path: str) -> None:
        self.intake.naming.delete(self.request("file.deleted", principal, path), "250 Deleted.")

    def remove_directory(self, principal: Principal, path: str) -> str:
        event = Event("directory.removed", partner=principal.partner, account=principal.username)
        key = key_for(principal.root, path)
        request = NameRequest(principal, path, key, event.but(path=path), "451 pending")
        return self.intake.naming.remove_directory(request, "250 Removed.")

    def upload(self, principal: Principal, path: str, data: bytes, **changes: Any) -> Receipt:
        stream = self.begin(principal, path, **changes)
        self.feed(stream, data)
        return self.finish(stream)


def stored(backend: Backend, key: str) -> bytes | None:
    """The object's bytes."""
    try:
        entry = backend.stat(key)
    except SecureDropError:
        return None
    return backend.read(entry, 0, entry.size)


def rows() -> list[str]:
    """The uploads' audit rows, in order."""
    return list(
        AuditEvent.objects.filter(event__startswith="upload.")
        .order_by("seq")
        .values_list("event", flat=True)
    )


def states() -> list[str]:
    """The ledger's states, oldest first."""
    return list(Upload.objects.order_by("started").values_list("state", flat=True))
