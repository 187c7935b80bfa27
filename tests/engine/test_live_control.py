"""Live control asks sessions of any door the same few things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from securedrop_ftp.access.live import Standing
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.engine import live
from securedrop_ftp.engine.live import ControlledSession, LiveControl
from securedrop_ftp.engine.pools import FairPool
from securedrop_ftp.engine.presence import Board
from securedrop_ftp.models import LiveSession
from tests.intake.house import make_principal


@dataclass
class DoorsSession:
    """Of a door that is not FTPS."""

    id: str
    principal: Principal | None
    door: str = "https"
    address: str = "192.0.2.7"
    doing: str = "PUT /a"
    bytes_moved: int = 7
    started: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    breaks: bool = False
    told: list[object] = field(default_factory=list)

    def end(self, reason: str) -> None:
        self.told.append(reason)
        if self.breaks:
            raise RuntimeError("on purpose")

    def become(self, asked: Principal, now: Principal) -> None:
        self.told.append(now)


class AtOnce:
    """A pool that runs a job before it returns."""

    def submit(self, _key: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as exc:
            future.set_exception(exc)
        return future


@pytest.fixture
def control(db: None) -> LiveControl:
    return LiveControl(cast(FairPool, AtOnce()), Board("here:process:boot:0.0", "here"))


def sessions(control: LiveControl, *found: ControlledSession) -> None:
    for session in found:
        control.add(session)


def test_operators_see_and_end_a_session_of_any_door(control: LiveControl) -> None:
    mine, other = DoorsSession("s1", make_principal()), DoorsSession("s2", make_principal())
    sessions(control, mine, other)
    control.publish()
    row = LiveSession.objects.get(pk="s1")
    assert (row.account, row.remote_ip, row.doing, row.bytes_moved) == (
        "alice", "192.0.2.7", "PUT /a", 7,
    )  # fmt: skip
    LiveSession.objects.filter(pk="s1").update(end_requested_by="olga")
    control.publish()
    assert (mine.told, other.told) == (["ended by olga"], [])
    control.remove("s1")
    control.remove("s2")
    control.publish()
    assert not LiveSession.objects.exists()


def test_what_no_longer_holds_ends_a_session_and_what_changed_reaches_it(
    control: LiveControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_principal()
    fewer = replace(alice, max_sessions=1)
    answers = {"s1": Standing("The account was disabled.", alice), "s2": Standing(None, fewer)}

    def standings(asked: Sequence[tuple[Principal, str]]) -> list[Standing]:
        assert {ip for _, ip in asked} == {"192.0.2.7"}
        return [answers.get(key, Standing(None, alice)) for key in ("s1", "s2", "s3")]

    monkeypatch.setattr(live, "standings", standings)
    ended, changed, same = (DoorsSession(f"s{n}", alice) for n in (1, 2, 3))
    stranger = DoorsSession("s4", None)
    sessions(control, stranger, ended, changed, same)
    control.check()
    assert ended.told == ["The account was disabled."]
    assert changed.told == [fewer]
    assert same.told == stranger.told == []


def test_a_session_that_cannot_be_ended_keeps_no_other_alive(
    control: LiveControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_principal()
    monkeypatch.setattr(live, "standings", lambda asked: [Standing("gone", alice) for _ in asked])
    broken, other = DoorsSession("s1", alice, breaks=True), DoorsSession("s2", alice)
    sessions(control, broken, other)
    control.check()
    assert (broken.told, other.told) == (["gone"], ["gone"])
