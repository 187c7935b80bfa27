"""What runs in short-lived children of the supervisor: checks before serving, recovery, sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from securedrop_ftp.checks import (
    certificate_problems,
    exposure_problems,
    serving_problems,
    value_problems,
)
from securedrop_ftp.conf import Conf, from_mapping, get_conf
from securedrop_ftp.exceptions import ConfigurationError, SecureDropError
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.intake.locations import located_backend
from securedrop_ftp.intake.recovery import Recovery
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Partner
from securedrop_ftp.server import presence
from securedrop_ftp.server.identity import is_dead, new_boot, node_name, owner_name

logger = get_logger(__name__)


def run_in_child(body: Callable[[], str]) -> str:
    """Fork, run, and bring the text home: connections and clients stay out of the supervisor."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        text = "The check before serving failed; see the log."
        try:
            text = body()
        except Exception as exc:
            logger.exception("preflight failed")
            text = f"The check before serving failed: {type(exc).__name__}: {exc}"
        finally:
            os.write(writer, text.encode()[:60_000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    return text


def preflight() -> str:
    """What stands in the way of serving, in a sentence or a few; empty: nothing."""
    try:
        database_ready()
        _warn()
        problems = [p for p in serving_problems() if p.is_serious()]
        if problems:
            return "\n".join(f"{p.msg} {p.hint or ''}".strip() for p in problems)
        for alias in aliases_in_use():
            try:
                located_backend(alias).check()
            except SecureDropError as exc:
                return f"Storage “{alias}” cannot be used: {exc}"
        recover_node()
    except ConfigurationError as exc:
        return str(exc)
    except SecureDropError as exc:
        return f"Recovery before serving failed: {exc}"
    finally:
        connections.close_all()
    return ""


def _warn() -> None:
    """What does not stop the service and should not surprise anybody: a certificate that expires
    within 30 days, a partner without session reuse."""
    for problem in serving_problems():
        if not problem.is_serious():
            logger.warning(problem.msg, id=problem.id, hint=problem.hint)


def database_ready() -> None:
    """Raises ConfigurationError unless the database answers and has our migrations."""
    connection = connections["default"]
    try:
        executor = MigrationExecutor(connection)
    except DatabaseError as exc:
        reason = str(exc).strip().splitlines()[0]
        raise ConfigurationError(
            f"The database cannot be reached: {reason}. Check SECUREDROP_DATABASE_URL."
        ) from exc
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise ConfigurationError(
            "The database is not up to date: run “python manage.py migrate” first."
        )


def aliases_in_use() -> list[str]:
    """The storages of enabled partners, and the default one."""
    used = Partner.objects.filter(enabled=True).values_list("storage", flat=True).distinct()
    return sorted({"default", *used})


def refuse_bad_settings(values: Mapping[str, Any]) -> None:
    """Raises ConfigurationError for settings or certificates that would not serve, and for a demo
    that would be shown to the world: before anything listens."""
    problems = value_problems(values)
    if not any(p.is_serious() for p in problems):
        conf = from_mapping(values)
        problems += [*exposure_problems(conf), *certificate_problems(conf)]
    errors = [p for p in problems if p.is_serious()]
    if errors:
        raise ConfigurationError("; ".join(f"{p.msg} {p.hint or ''}".strip() for p in errors))


def warn_of_certificates(conf: Conf) -> None:
    """Into the log what ``ftps_serve`` serves with all the same: above all a certificate that
    runs out soon. Reads files only."""
    for problem in certificate_problems(conf):
        logger.warning("certificate", problem=problem.msg, hint=problem.hint, id=problem.id)


def _recovery() -> Recovery:
    conf = get_conf()
    owner = owner_name(conf, new_boot(), 0, 0)
    return Recovery(
        Ledger(None, owner=owner, lease_seconds=conf.lease_seconds), located_backend, conf
    )


def recover_node() -> None:
    """At start, in a child of a supervisor that has no workers yet: settle what dead writers of
    this node left."""
    node, supervisor = node_name(get_conf()), os.getppid()
    _recovery().recover(lambda owner: is_dead(owner, node, supervisor))


def recover_owner(dead: str) -> None:
    """One worker died."""
    try:
        presence.forget(dead)
        _recovery().recover(lambda owner: owner == dead)
    finally:
        connections.close_all()


def prune() -> None:
    """Expired partials, orphan multiparts."""
    try:
        _warn()
        presence.forget_stale()
        _recovery().prune()
    finally:
        connections.close_all()
