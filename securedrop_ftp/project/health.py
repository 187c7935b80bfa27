"""``/livez`` and ``/readyz``: for balancers and Kubernetes, and of no use to anybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, JsonResponse

from securedrop_ftp.server.readiness.checks import report


def livez(request: HttpRequest) -> HttpResponseBase:
    """200 while this process answers at all. Asks nothing."""
    return _answer(request, {"status": "alive"}, 200)


def readyz(request: HttpRequest) -> HttpResponseBase:
    """200 where partners can be served, all or most of them; else 503."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    found = report()
    checks = {name: answer.word for name, answer in found.answers.items()}
    return _answer(request, {"status": found.status, "checks": checks}, 200 if found.ready else 503)


def _answer(request: HttpRequest, body: dict[str, object], status: int) -> HttpResponseBase:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


PAGES: Final = {"/livez": livez, "/readyz": readyz}


class HealthPages:
    """Answers them before anything else looks at the request: whoever probes comes by address, over
    plain HTTP, without a name that this site is called by."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer."""
        return PAGES.get(request.path_info, self._get_response)(request)
