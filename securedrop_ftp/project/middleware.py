"""HTTP headers of the admin site that Django 5.2 does not set, or not read, itself; and one
spelling of the client's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

from securedrop_ftp.access.network import canonical

#: Everything from this origin, nothing inline, never framed.
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)


class ContentSecurityPolicy:
    """Sets ``Content-Security-Policy`` and ``Permissions-Policy`` on every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with the headers."""
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=()"
        )
        return response


class ClientAddress:
    """Behind a proxy: the client is who the proxy says, and not the proxy.

    The last address of ``X-Forwarded-For`` is the one that the proxy itself has added; those before
    it are the client's own words. Without this all operators share one address, and whoever guesses
    from anywhere locks out all of them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with the client's address in ``REMOTE_ADDR``; a proxy that names none, or
        something else than an address, is taken for the client."""
        told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            request.META["REMOTE_ADDR"] = canonical(_without_port(told))
        except ValueError:
            pass
        return self._get_response(request)


class CanonicalAddress:
    """``REMOTE_ADDR`` in its one spelling: served on ``[::]`` the server says ``::ffff:192.0.2.7``
    of an IPv4 client, and lockouts and the trail would know two clients where there is one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer; what is not an address (a Unix socket's client has none) stays as it is."""
        try:
            request.META["REMOTE_ADDR"] = canonical(request.META.get("REMOTE_ADDR", ""))
        except ValueError:
            pass
        return self._get_response(request)


def _without_port(told: str) -> str:
    """``192.0.2.7:4711`` and ``[2001:db8::1]:4711``, as some proxies write, without the port."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told
