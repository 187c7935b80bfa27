"""What a session leaves in the audit trail: rows of its acts, of its refusals and of its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from securedrop_ftp import replies
from securedrop_ftp.access import network
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import OutcomeUnknown, SessionGone
from securedrop_ftp.ftps.answers import Denied, answer
from securedrop_ftp.ftps.client import Client
from securedrop_ftp.ftps.offload import Offload
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.refusals import of_address, of_partner, refusals
from securedrop_ftp.replies import Reply

#: A refusal that leaves no row of its own is answered so much later, seconds: who goes on asking
#: is held back, as by waiting for a row.
HELD_BACK: Final = 0.05
#: Uploads that were refused leave a row each, whatever their number: the next reply of a partner
#: comes when it may have one more (rows at once, a second).
REFUSED_UPLOADS: Final = 20
REFUSED_UPLOADS_PER_SECOND: Final = 3.0


@dataclass
class Act:
    """What an audited verb did, to which path, and is about to answer."""

    path: str
    reply: Reply = replies.ACTION_OK


class Trail:
    """Of one session.

    Attributes:
        command_has_row: the command that runs has left a row.
    """

    def __init__(self, runtime: Runtime, client: Client, offload: Offload) -> None:
        self._runtime, self._client, self._offload = runtime, client, offload
        balancer = client.origin.balancer
        extra = {"balancer": balancer} if balancer else {}
        self._opened: Event | None = Event("session.opened", extra=extra)  # until it is told
        self.command_has_row = False

    def announce(self) -> None:
        """Tell that the session was opened, once: when it logs in, or when it ends."""
        opened, self._opened = self._opened, None
        if opened is not None:
            self.record(opened)

    def record(self, event: Event) -> None:
        """Complete the event with who and from where, and hand it over."""
        self._runtime.record(self.completed(event))

    def completed(self, event: Event) -> Event:
        """The event with who acts, and from where."""
        principal = self._client.principal
        extra = dict(event.extra)
        if principal is not None and principal.certificate is not None:
            extra |= {
                "certificate": principal.certificate.fingerprint,
                "certificate_subject": principal.certificate.subject,
            }
        return event.but(
            **self._who(event.account),
            remote_ip=self._client.remote_ip,
            session=self._client.session,
            extra=extra,
        )

    def _who(self, sent: str) -> dict[str, Any]:
        """Partner and account; before the login the name that was ``sent``."""
        principal = self._client.principal
        if principal is None:
            return {"partner": "", "partner_id": None, "account": sent}
        return {
            "partner": principal.partner,
            "partner_id": principal.partner_id,
            "account": principal.username,
        }

    # --- acts ------------------------------------------------------------------------

    @contextmanager
    def failures_audited(self, name: str, path: str) -> Iterator[None]:
        """An act whose row is written with the act itself: here only that it was refused or has
        failed, durable before the client has its reply. Of what may yet be done recovery writes
        the row."""
        self.command_has_row = True
        try:
            yield
        except OutcomeUnknown:
            raise
        except Exception as exc:
            self.record_durably(
                Event(name, outcome="failure", path=path, reason=str(exc), reply=str(answer(exc)))
            )
            raise

    @contextmanager
    def audited(self, name: str, path: str) -> Iterator[Act]:
        """An act on a file or a directory: one row when it is done or has failed, durable before
        the client has its reply. The verb sets ``act.reply``, and ``act.path`` where that
        differs."""
        act = Act(path)
        try:
            yield act
        except SessionGone:
            raise
        except Exception as exc:
            self.record_durably(
                Event(name, outcome="failure", path=path, reason=str(exc), reply=str(answer(exc)))
            )
            raise
        self.record_durably(Event(name, path=act.path, reply=str(act.reply)))

    def record_durably(self, event: Event) -> None:
        """:meth:`record`, and wait until the row is kept; where the session is gone nobody waits
        for it. Refusals by which nothing was moved have a bound
        (:mod:`securedrop_ftp.refusals`). In a verb's greenlet only."""
        self.command_has_row = True
        whole = self.completed(event)
        bounded = event.outcome != "success" and not event.size
        if bounded and not refusals.admit(self._bucket(), whole):
            if not self._offload.gone:
                self._offload.sleep_until(time.monotonic() + HELD_BACK)
            return
        kept = self._runtime.record(whole)
        if not self._offload.gone:
            self._offload.outcome(kept)

    # --- refusals --------------------------------------------------------------------

    def deny(self, verb_name: str, argument: str) -> NoReturn:
        """Record the attempt, wait until the row is kept (who goes on asking is held back by it),
        and refuse.

        Raises:
            Denied: always.
        """
        refusal = replies.NO_PERMISSION.but(f"This account may not use {verb_name} here.")
        self.record_durably(
            Event(
                "access.denied",
                outcome="denied",
                path=argument,
                reason=f"{verb_name} is not permitted",
                reply=str(refusal),
            )
        )
        raise Denied(refusal)

    def record_soon(self, event: Event) -> None:
        """A refusal outside of a verb's greenlet: nobody waits for its row."""
        whole = self.completed(event)
        if refusals.admit(self._bucket(), whole):
            self._runtime.record(whole)

    def pace_refused_uploads(self) -> None:
        """After one: wait until its partner may have the next one refused."""
        while not refusals.paced(self._bucket(), REFUSED_UPLOADS, REFUSED_UPLOADS_PER_SECOND):
            self._offload.sleep_until(time.monotonic() + 1 / REFUSED_UPLOADS_PER_SECOND)

    def spend_row(self) -> None:
        """A row was left whatever the bound: it leaves less for the session's others."""
        refusals.spend(self._bucket())

    def _bucket(self) -> str:
        if self._client.principal is not None:
            return of_partner(self._client.principal.partner)
        return of_address(network.source_of(self._client.remote_ip))

    # --- the end ---------------------------------------------------------------------

    def tell_end(self, closed: Event, trouble: str) -> None:
        """The session's last row. A session that never logged in is a stranger's: its rows have a
        bound, and come after those of uploads. ``trouble``: its most frequent cause, or ``""``."""
        if self._client.principal is not None:
            self.record(closed)
            return
        rows = [self.completed(event) for event in (self._opened, closed) if event is not None]
        self._opened = None
        kind = "connection without a login" if len(rows) > 1 else "session.closed"
        if trouble:
            kind += f" ({trouble})"
        if refusals.admit(self._bucket(), rows[-1], rows=len(rows), kind=kind):
            for row in rows:
                self._runtime.record(row, later=True)
