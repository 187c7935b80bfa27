"""Reading variables from a mapping (the environment), each with an ``X_FILE`` twin.

Every variable begins with ``SECUREDROP_``. An empty value counts as absent. ``SECUREDROP_X_FILE``
names a file whose content is the value of ``SECUREDROP_X``: the way secrets are handed over by
systemd credentials, Docker and Kubernetes, and the way they stay out of process listings.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from securedrop_ftp.conf import Conf

PREFIX: Final = "SECUREDROP_"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class Environment:
    """The ``SECUREDROP_…`` variables of a mapping."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {
            name.removeprefix(PREFIX): value
            for name, value in values.items()
            if name.startswith(PREFIX) and value != ""
        }
        self._read: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        """The value of ``SECUREDROP_<name>``, or the content of ``SECUREDROP_<name>_FILE``.

        Raises:
            ImproperlyConfigured: both are set, or the file cannot be read.
        """
        twin = f"{name}_FILE"
        self._read |= {name, twin}
        if twin not in self._values:
            return self._values.get(name, default)
        if name in self._values:
            raise ImproperlyConfigured(
                f"{PREFIX}{name} and {PREFIX}{twin} are both set; keep one of them."
            )
        path = Path(self._values[twin])
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ImproperlyConfigured(f"{PREFIX}{twin}: cannot read {path}: {exc}.") from exc

    def flag(self, name: str, default: bool = False) -> bool:
        """A yes or no.

        Raises:
            ImproperlyConfigured: neither.
        """
        value = self.text(name).lower()
        if not value:
            return default
        if value not in _TRUE | _FALSE:
            raise ImproperlyConfigured(f"{PREFIX}{name}={value!r}: write true or false.")
        return value in _TRUE

    def conf(self) -> dict[str, Any]:
        """The ``SECUREDROP`` dict: each variable that no one has read yet, as its field's type.

        A value that does not fit its type stays text, and a name that is no field stays in the
        dict: the system checks report both, with a hint.
        """
        kinds = typing.get_type_hints(Conf)
        values: dict[str, Any] = {}
        for field in kinds:
            name = field.upper()
            if name in self._values or f"{name}_FILE" in self._values:
                values[name] = _converted(self.text(name), kinds[field])
        unknown = {name: v for name, v in self._values.items() if name not in self._read}
        return unknown | values


def _converted(value: str, kind: type) -> Any:
    if kind is bool:
        lowered = value.lower()
        return lowered in _TRUE if lowered in _TRUE | _FALSE else value
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            return value
    return kind(value)


def trusted_origins(text: str) -> list[str]:
    """Origins (RFC 6454), separated by commas: ``https://files.example:8443``.

    Raises:
        ImproperlyConfigured: one of them has no scheme or host, or has a path.
    """
    origins = [origin.strip().rstrip("/") for origin in text.split(",") if origin.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("https", "http") or not parts.netloc or parts.path or parts.query:
            raise ImproperlyConfigured(
                f"SECUREDROP_WEB_TRUSTED_ORIGINS: {origin!r} is not an origin; write it as the "
                "browser shows it, https://files.example:8443."
            )
    return origins
