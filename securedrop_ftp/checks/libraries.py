"""Do the installed libraries still do what we use of their private or undocumented parts?

Each such library has one file of ours that touches these parts: ``tls/openssl.py`` (pyOpenSSL),
``storage/django_storages.py``, ``access/axes_handler.py`` and ``prepared.py`` (Django's SQL
compiler). pyproject.toml has a ceiling for each; here a release is told by a sentence before it can
do harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.files.storage import InvalidStorageError, storages

from securedrop_ftp import prepared
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.models import Partner
from securedrop_ftp.storage import django_storages
from securedrop_ftp.tls.self_test import self_test

_HINT: Final = "pip install -r requirements/service.txt; the service does not start without."


def check_libraries(**kwargs: Any) -> list[CheckMessage]:
    """The deploy check of E029. ``ftps_serve`` makes the same tests before it listens."""
    try:
        self_test()
    except ConfigurationError as exc:
        return [*library_problems(), _error(str(exc))]
    return library_problems()


def library_problems() -> list[CheckMessage]:
    """E029 for all but TLS, whose self-test the service makes itself when it starts."""
    return [_error(sentence) for sentence in _broken() if sentence]


def _broken() -> Iterator[str]:
    for alias in settings.STORAGES:
        try:
            yield django_storages.broken(storages[alias])
        except (InvalidStorageError, ImportError):
            continue  # E012 says so
    if apps.is_installed("axes"):
        from securedrop_ftp.access import axes_handler  # whose models need the app

        yield axes_handler.broken()
    yield prepared.broken(Partner, "name")


def _error(sentence: str) -> CheckMessage:
    return Error(sentence, hint=_HINT, id="securedrop.E029")
