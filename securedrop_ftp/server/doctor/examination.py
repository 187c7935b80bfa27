"""All checks, in the order in which one rests on another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseFault

from securedrop_ftp.checks import (
    check_secret_key,
    data_folder_problems,
    exposure_problems,
    project_problems,
    value_problems,
)
from securedrop_ftp.checks.partners import check_partners
from securedrop_ftp.checks.values import check_storages
from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.doctor import addresses, certificates, limits, ports
from securedrop_ftp.server.doctor.clock import clock
from securedrop_ftp.server.doctor.database import (
    durability,
    room_for_connections,
    unusable,
    writers,
)
from securedrop_ftp.server.doctor.finding import Finding, Level, from_message, ok, problem
from securedrop_ftp.server.doctor.service import service
from securedrop_ftp.server.doctor.site import CHECK as SITE
from securedrop_ftp.server.doctor.site import site_certificate
from securedrop_ftp.server.doctor.storages import location, storage
from securedrop_ftp.server.doctor.upload import real_upload
from securedrop_ftp.server.readiness.storages import aliases_of_partners
from securedrop_ftp.server.status import read_status

logger = get_logger(__name__)

SETTINGS = "settings"


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is made. A check that breaks is itself a problem and stops
    no other."""
    values = value_problems(getattr(settings, "SECUREDROP", {}))
    if any(message.is_serious() for message in values):
        yield from (from_message(SETTINGS, message) for message in values)
        return  # nothing can be judged by settings that cannot be read
    conf = get_conf()
    yield from partly(SETTINGS, lambda: _settings(conf))
    yield from partly(certificates.CHECK, lambda: certificates.server_certificate(conf))
    yield from partly(SITE, lambda: site_certificate(conf))
    found = list(partly("database", _unusable_database))
    yield from found
    usable = not found
    yield from partly("database", lambda: writers(conf))
    if usable:
        yield from partly("database", durability)
        yield from partly("database", lambda: room_for_connections(conf))
        yield from partly("clock", clock)
        yield from partly(certificates.CLIENTS, certificates.client_certificates)
        yield from partly("partners", _partners)
    for alias in sorted({"default", *aliases_of_partners()}) if usable else ["default"]:
        yield from partly("storage", partial(_storage, alias, ledger=usable))
    status = read_status(conf.data_dir)
    yield from partly(addresses.CHECK, lambda: addresses.addresses(conf))
    yield from partly(ports.CHECK, lambda: ports.passive_ports(conf))
    yield from partly(limits.CHECK, lambda: limits.limits(conf, status))
    yield from partly("service", lambda: service(conf, status))
    if usable:
        yield from partly("upload", lambda: real_upload(conf, status))


def _settings(conf: Conf) -> Iterator[Finding]:
    messages = [
        *project_problems(),
        *check_secret_key(),
        *data_folder_problems(conf.data_dir),
        *check_storages(),
        *exposure_problems(conf),
    ]
    yield from (from_message(SETTINGS, message) for message in messages)
    if not messages:
        yield ok(SETTINGS, "they can be read and agree.")


def _storage(alias: str, *, ledger: bool) -> Iterator[Finding]:
    """``ledger``: the database can be asked where its files are. Nothing is put where they are
    not."""
    found = list(location(alias)) if ledger else []
    yield from found
    if all(finding.level is not Level.PROBLEM for finding in found):
        yield from storage(alias)


def _unusable_database() -> Iterator[Finding]:
    finding = unusable()
    if finding is not None:
        yield finding


def _partners() -> Iterator[Finding]:
    yield from (from_message("partners", m) for m in check_partners(databases=["default"]))


def partly(check: str, run: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check. One that breaks is itself a problem."""
    try:
        yield from run()
    except CommandError:
        raise  # what was asked for is not there
    except DatabaseFault as exc:
        yield problem(check, f"The database failed: {exc}.", "See what the check “database” says.")
    except Exception as exc:
        logger.exception("doctor.check_failed", check=check)
        yield problem(
            check, f"The check itself failed: {type(exc).__name__}: {exc}.", "Please report it."
        )
