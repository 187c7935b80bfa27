"""The loop: other threads get in, and verbs park without holding it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future

import greenlet
import pytest

from securedrop_ftp.exceptions import SessionGone
from securedrop_ftp.ftps.parking import Waiter, settle_from
from securedrop_ftp.server.loop import Loop


def test_a_call_from_another_thread_wakes_a_sleeping_loop() -> None:
    loop = Loop()
    threading.Timer(0.05, loop.call_soon_threadsafe, (loop.stop,)).start()
    loop.run()
    loop.close()


def test_a_wake_up_in_the_midst_of_another_does_not_lose_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop()
    seen: list[str] = []
    empty = os.eventfd_read

    def meanwhile(fd: int) -> int:
        if not seen:
            other = threading.Thread(target=loop.call_soon_threadsafe, args=(the_next,))
            seen.append("meanwhile")
            other.start()
            other.join()
        return empty(fd)

    def the_next() -> None:
        threading.Timer(0.05, loop.call_soon_threadsafe, (woken,)).start()

    def woken() -> None:
        seen.append("slept" if overslept.is_set() else "woken")
        loop.stop()

    monkeypatch.setattr(os, "eventfd_read", meanwhile)
    threading.Timer(0.05, loop.call_soon_threadsafe, (lambda: None,)).start()
    # Where the wake-up is lost, this timer ends the sleep.
    overslept = threading.Event()
    watch = threading.Timer(10, overslept.set)
    watch.start()
    loop.call_later(20, loop.stop)
    loop.run()
    watch.cancel()
    loop.close()
    assert seen == ["meanwhile", "woken"]


def test_a_parked_verb_goes_on_with_the_result_on_the_loops_thread() -> None:
    loop = Loop()
    seen: list[object] = []
    future: Future[int] = Future()

    def verb() -> None:
        waiter: Waiter[int] = Waiter()
        settle_from(future, waiter, loop.call_soon_threadsafe)
        seen.append(waiter.wait())
        seen.append(threading.current_thread())
        loop.stop()

    loop.call_soon(greenlet.greenlet(verb).switch)
    threading.Timer(0.05, future.set_result, (7,)).start()
    loop.run()
    assert seen == [7, threading.current_thread()]
    loop.close()


def test_a_parked_verb_ends_where_it_waits_when_its_session_goes() -> None:
    ended: list[str] = []
    parked: list[Waiter[None]] = []

    def verb() -> None:
        waiter: Waiter[None] = Waiter()
        parked.append(waiter)
        try:
            waiter.wait()
        except SessionGone:
            ended.append("gone")

    greenlet.greenlet(verb).switch()
    parked[0].fail(SessionGone())
    parked[0].set(None)  # the answer comes too late and changes nothing
    assert ended == ["gone"]


def test_a_callback_that_fails_does_not_stop_the_loop() -> None:
    loop = Loop()

    def fail() -> None:
        raise ValueError("on purpose")

    loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run()
    loop.close()


def test_a_timer_made_by_a_callback_is_not_slept_past() -> None:
    loop = Loop()
    loop.call_later(3600, loop.stop)
    loop.call_soon_threadsafe(lambda: loop.call_later(0.01, loop.stop))
    loop.run()
    loop.close()


def test_waiting_outside_a_verb_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        Waiter().wait()
