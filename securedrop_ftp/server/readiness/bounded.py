"""Questions that may hang, asked side by side and waited for no longer than one may wait."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar, cast

from securedrop_ftp.db.threads import run_with_connections
from securedrop_ftp.db.threads import thread as new_thread

T = TypeVar("T")


class NoAnswer(Exception):
    """The question hangs; its thread is left alone until it ends."""


_open: dict[str, Future[object]] = {}
_guard = threading.Lock()


def ask(questions: Mapping[str, Callable[[], T]], seconds: float) -> dict[str, T | Exception]:
    """The answer to each question, or the exception that it raised, within ``seconds``.

    A question that has not come back from an earlier call is not asked a second time, so that
    what hangs holds one thread, however often somebody asks. :class:`NoAnswer` stands for it.
    """
    futures = {name: _asked(name, question) for name, question in questions.items()}
    deadline = time.monotonic() + seconds
    wait(futures.values(), timeout=max(0.0, deadline - time.monotonic()))
    answers: dict[str, T | Exception] = {}
    for name, future in futures.items():
        answers[name] = _answer(future, seconds)
    return answers


def _asked(name: str, question: Callable[[], T]) -> Future[T]:
    with _guard:
        future = _open.get(name)
        if future is None:
            future = _open[name] = Future()
            new_thread(f"readiness-{name}", _answer_to, name, question, future).start()
    return cast("Future[T]", future)


def _answer_to(name: str, question: Callable[[], object], future: Future[object]) -> None:
    """The body of a thread."""
    answer: object = None
    failure: Exception | None = None
    try:
        answer = run_with_connections(question)
    except Exception as exc:
        failure = exc
    finally:
        with _guard:
            _open.pop(name, None)
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(answer)


def _answer(future: Future[Any], seconds: float) -> Any:
    if not future.done():
        return NoAnswer(f"no answer within {seconds:g} s")
    try:
        return future.result()
    except Exception as exc:
        return exc


def _after_fork() -> None:
    global _guard
    _guard = threading.Lock()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)

__all__ = ["NoAnswer", "ask"]
