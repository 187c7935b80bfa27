"""A WSGI application that stores what is PUT, as alice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import django

django.setup()

from securedrop_ftp import engine  # noqa: E402
from securedrop_ftp.access.principal import principal_of  # noqa: E402
from securedrop_ftp.ftps.answers import FTPS  # noqa: E402
from securedrop_ftp.intake.service import UploadRequest  # noqa: E402
from securedrop_ftp.models import Account  # noqa: E402


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    account = Account.objects.select_related("user", "partner").get(user__username="alice")
    who = principal_of(account)
    request = UploadRequest(who, path, "192.0.2.7", path, f"{who.root}{path[1:]}", FTPS)
    body = environ["wsgi.input"]
    with engine.current().open_upload(request) as upload:
        while chunk := body.read(65_536):
            upload.write(chunk)
        receipt = upload.commit()
    start_response("201 Created", [("X-Process", str(os.getpid()))])
    return [receipt.sha256.encode()]
