"""HTTP headers of the admin site that Django 5.2 does not set, or not read, itself."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from django.http import HttpRequest, HttpResponseBase

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
            request.META["REMOTE_ADDR"] = str(ip_address(told.strip("[]")))
        except ValueError:
            pass
        return self._get_response(request)
