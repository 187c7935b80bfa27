"""A backend that fails at the call it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from securedrop_ftp.exceptions import OutcomeUnknown, StorageUnavailable
from securedrop_ftp.storage.protocol import Backend

PUBLISHING = ("commit", "put_object")


class FaultyBackend:
    """Wraps a backend. ``fail(name, n)`` makes the n-th call of ``name`` from now fail before it
    does anything; ``after=True``: it does its work and then fails (publishing calls then raise
    OutcomeUnknown, as the protocol wants)."""

    def __init__(self, backend: Backend) -> None:
        self.inner = backend
        self.calls: list[str] = []
        self._plans: dict[str, tuple[int, bool, Exception | None]] = {}

    def fail(
        self, name: str, nth: int = 1, *, after: bool = False, error: Exception | None = None
    ) -> None:
        self._plans[name] = (nth, after, error)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value):
            return value
        return self._wrapped(name, value)

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            key = name if name in self._plans else "any"
            plan = self._plans.get(key)
            if plan is None:
                return method(*args, **kwargs)
            left, after, error = plan
            if left > 1:
                self._plans[key] = (left - 1, after, error)
                return method(*args, **kwargs)
            del self._plans[key]
            if after:
                method(*args, **kwargs)
                if error is None and name in PUBLISHING:
                    error = OutcomeUnknown("no answer")
            raise error or StorageUnavailable("storage is away")

        return call
