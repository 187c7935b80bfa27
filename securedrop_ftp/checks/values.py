"""Checks of the ``SECUREDROP`` dict, the secret key and the storages: nothing here does I/O."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from securedrop_ftp.access import network
from securedrop_ftp.checks.networks import network_problems
from securedrop_ftp.conf import Conf, field_names, from_mapping, settings_of

#: Characters of a secret key: 128 bits where they are hexadecimal.
SHORTEST_KEY: Final = 32

_KIND_NAMES: Final = {int: "a whole number", float: "a number", bool: "true or false"}


def check_values(**kwargs: Any) -> list[CheckMessage]:
    """The system check of :func:`value_problems`."""
    return value_problems(getattr(settings, "SECUREDROP", {}))


def check_secret_key(**kwargs: Any) -> list[CheckMessage]:
    """E010, E015: sessions and resume tokens need a key; none is ever built in. In a project of
    others, whose tests may run with whatever, a short one is W015."""
    try:
        length = len(settings.SECRET_KEY)
    except ImproperlyConfigured:
        length = 0
    if length >= SHORTEST_KEY:
        return []
    if length:
        ours = apps.is_installed("securedrop_ftp.project")
        return [
            (Error if ours else Warning)(
                f"The secret key has {length} characters: sessions of operators can be forged, and "
                "tokens of interrupted uploads read, by whoever guesses it.",
                hint=f"At least {SHORTEST_KEY}, better 50 random characters (python3 -c 'import "
                "secrets; print(secrets.token_urlsafe(64))').",
                id="securedrop.E015" if ours else "securedrop.W015",
            )
        ]
    return [
        Error(
            "There is no secret key.",
            hint="Set SECUREDROP_SECRET_KEY, or SECUREDROP_SECRET_KEY_FILE to a file that holds "
            "at least 50 random characters (python3 -c 'import secrets; "
            "print(secrets.token_urlsafe(64))').",
            id="securedrop.E010",
        )
    ]


def check_storages(**kwargs: Any) -> list[CheckMessage]:
    """E011, E012: the alias ``default`` exists, and each storage's class can be imported."""
    storages = settings.STORAGES
    problems: list[CheckMessage] = []
    if "default" not in storages:
        problems.append(
            Error(
                "STORAGES has no alias “default”.",
                hint="Partners store there unless told otherwise: set SECUREDROP_STORAGE_URL.",
                id="securedrop.E011",
            )
        )
    for alias, entry in storages.items():
        try:
            import_string(entry["BACKEND"])
        except (ImportError, ImproperlyConfigured, KeyError, TypeError) as exc:
            problems.append(
                Error(
                    f"The storage “{alias}” cannot be loaded: {exc}.",
                    hint="Install what its class needs: securedrop_ftp[gcs] or "
                    "securedrop_ftp[azure]; S3 is always there.",
                    id="securedrop.E012",
                )
            )
    return problems


def value_problems(values: Mapping[str, Any]) -> list[CheckMessage]:
    """What is wrong with a ``SECUREDROP`` dict: names and types first, then the values."""
    problems = [*_unknown_keys(values), *_wrong_types(values)]
    if any(p.id == "securedrop.E002" for p in problems):
        return problems
    conf = from_mapping(values)
    return [
        *problems,
        *_out_of_range(conf),
        *_wrong_choices(conf),
        *_wrong_addresses(conf),
        *network_problems(conf),
        *_inconsistent(conf),
    ]


def _unknown_keys(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in sorted(set(values) - field_names()):
        close = difflib.get_close_matches(str(key), field_names(), n=1)
        yield Error(
            f"SECUREDROP_{key} is not a setting of this service.",
            hint=f"Did you mean SECUREDROP_{close[0]}?"
            if close
            else "docs/reference/settings.md lists them all.",
            id="securedrop.E001",
        )


def _wrong_types(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    kinds = typing.get_type_hints(Conf)
    for key in sorted(set(values) & field_names()):
        kind, value = kinds[key.lower()], values[key]
        fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            fits = True
        if kind is Path and isinstance(value, str):
            fits = True
        if not fits:
            yield Error(
                f"SECUREDROP_{key} is {value!r}, which is not {_KIND_NAMES.get(kind, 'a text')}.",
                hint=f"For instance: SECUREDROP_{key}={getattr(Conf(), key.lower())}",
                id="securedrop.E002",
            )


def _out_of_range(conf: Conf) -> Iterator[CheckMessage]:
    for name, setting in settings_of().items():
        value = getattr(conf, name)
        below = setting.least is not None and value < setting.least
        above = setting.most is not None and value > setting.most
        if below or above:
            yield Error(
                f"SECUREDROP_{name.upper()} is {value}, which is out of range.",
                hint=f"It must be {setting.limits}; the default is {getattr(Conf(), name)}.",
                id="securedrop.E003",
            )


def _wrong_choices(conf: Conf) -> Iterator[CheckMessage]:
    for name, setting in settings_of().items():
        if setting.choices and getattr(conf, name) not in setting.choices:
            yield Error(
                f"SECUREDROP_{name.upper()} is {getattr(conf, name)!r}, which is not known.",
                hint="Choose " + " or ".join(repr(c) for c in setting.choices if c) + ".",
                id="securedrop.E004",
            )


def _wrong_addresses(conf: Conf) -> Iterator[CheckMessage]:
    try:
        host, port = conf.bind
        good = bool(host) and 0 <= port <= 65535
    except ValueError:
        good = False
    if not good:
        yield Error(
            f"SECUREDROP_FTPS_BIND is {conf.ftps_bind!r}, which is not HOST:PORT.",
            hint="For instance 0.0.0.0:21, 127.0.0.1:2121 or [::]:21.",
            id="securedrop.E005",
        )
    try:
        ports = conf.passive_ports
        good = bool(ports) and ports[0] >= 1 and ports[-1] <= 65535
    except ValueError:
        good = False
    if not good:
        yield Error(
            f"SECUREDROP_FTPS_PASSIVE_PORTS is {conf.ftps_passive_ports!r}, which is not a range "
            "of ports.",
            hint="Write LOW-HIGH with 1 <= LOW <= HIGH <= 65535, and open the same range in the "
            "firewall: 50000-50999.",
            id="securedrop.E006",
        )
    if conf.ftps_passive_address and not _can_be_told(conf.ftps_passive_address):
        yield Error(
            f"SECUREDROP_FTPS_PASSIVE_ADDRESS is {conf.ftps_passive_address!r}, which is neither "
            "an IPv4 address of one host nor a host name.",
            hint="The address or the name that clients reach this service at, for the reply to "
            "PASV, without a port; leave it empty where they reach it directly. (EPSV tells none.)",
            id="securedrop.E007",
        )


def _can_be_told(text: str) -> bool:
    try:
        address = network.normalise(text)
    except ValueError:
        return network.is_host_name(text)
    nonsense = address.is_unspecified or address.is_multicast or address.is_reserved
    return address.version == 4 and not nonsense


def _inconsistent(conf: Conf) -> Iterator[CheckMessage]:
    pairs = (
        ("part_size", "max_part_size"),
        ("part_size", "upload_memory"),
        ("upload_memory", "worker_memory"),
    )
    for small, large in pairs:
        if getattr(conf, small) > getattr(conf, large):
            yield Error(
                f"SECUREDROP_{small.upper()} ({getattr(conf, small)}) is greater than "
                f"SECUREDROP_{large.upper()} ({getattr(conf, large)}).",
                hint="Lower the first or raise the second; both are bytes.",
                id="securedrop.E008",
            )
    if conf.fault_step:
        yield Warning(
            f"SECUREDROP_FAULT_STEP is set ({conf.fault_step}): the service kills itself there.",
            hint="It is for fault tests only; unset it.",
            id="securedrop.W009",
        )
