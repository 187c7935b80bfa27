"""What runs in short-lived children of the supervisor: checks before serving, recovery, sweep."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Final, NoReturn

from django.core.checks import CheckMessage
from django.db import connections

from securedrop_ftp.checks import (
    certificate_problems,
    data_folder_problems,
    exposure_problems,
    project_problems,
    serving_problems,
    value_problems,
)
from securedrop_ftp.conf import Conf, from_mapping, get_conf
from securedrop_ftp.engine import housekeeping
from securedrop_ftp.engine.heartbeat import Heartbeat, claim_name
from securedrop_ftp.exceptions import ConfigurationError, SecureDropError
from securedrop_ftp.intake import owners
from securedrop_ftp.intake.owners import Boot
from securedrop_ftp.invocation import command_line
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.readiness import database, storages
from securedrop_ftp.server.signals import SignalPipe

logger = get_logger(__name__)

#: Seconds that a storage has for its answer before the service starts without it.
STORAGE_PATIENCE: Final = 15.0

#: Checks of what concerns the partners of one storage: its class, its alias.
OF_ONE_STORAGE: Final = frozenset({"securedrop.E012", "securedrop.E032"})


#: Seconds that checks have for their end, once they are told to stop.
_CHECKS_END: Final = 3.0


def run_in_child(body: Callable[[], str], signals: SignalPipe) -> str | None:
    """Fork, run, and bring the text home: connections and clients stay out of the supervisor.

    ``None``: SIGTERM or SIGINT came meanwhile. ``body`` was then ended by SystemExit, or, where it
    did not heed that, by SIGKILL.
    """
    reader, writer = os.pipe()
    pid = signals.fork()
    if not pid:
        _run_and_tell(body, reader, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        stopped = _is_told_to_stop(signals, reader)
        if stopped:
            os.kill(pid, signal.SIGTERM)
            if not select.select([pipe], [], [], _CHECKS_END)[0]:
                os.kill(pid, signal.SIGKILL)
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    return None if stopped else text


def _run_and_tell(body: Callable[[], str], reader: int, writer: int) -> NoReturn:
    text = "The check before serving failed; see the log."
    try:
        os.close(reader)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        text = body()
    except Exception as exc:
        logger.exception("preflight.failed")
        text = f"The check before serving failed: {type(exc).__name__}: {exc}"
    finally:
        try:
            os.write(writer, text.encode()[:60_000])
        finally:
            os._exit(0)


def _is_told_to_stop(signals: SignalPipe, answer: int) -> bool:
    """Whether that comes before the answer does. What else comes meanwhile has no meaning yet."""
    while True:
        readable, _, _ = select.select([answer, signals.fileno()], [], [])
        if signals.fileno() in readable and {signal.SIGTERM, signal.SIGINT} & {*signals.read()}:
            return True
        if answer in readable:
            return False


def preflight(boot: Boot, beside: Container[str] = ()) -> str:
    """What stands in the way of serving, in a sentence or a few; empty: nothing.

    ``ready`` is printed after it, so whatever would make every upload fail belongs here. What makes
    one partner's uploads fail does not: it is in the log, and the others are served. ``beside``:
    boots of other generations of this service.
    """
    try:
        problems = [*project_problems(), *data_folder_problems(get_conf().data_dir)]
        if not problems:
            database.usable()
            problems = [p for p in serving_problems() if p.id not in OF_ONE_STORAGE]
            _warn(problems)
        errors = [p for p in problems if p.is_serious()]
        if errors:
            return "\n".join(f"{p.msg} {p.hint or ''}".strip() for p in errors)
        claim_name(boot, beside)
        with Heartbeat(boot):
            problem = _look_at_storages(boot)
        if problem:
            owners.withdraw(boot)
        return problem
    except ConfigurationError as exc:
        return str(exc)
    finally:
        connections.close_all()


def _look_at_storages(boot: Boot) -> str:
    try:
        housekeeping.recover_node(boot, _storages_that_fail())
    except ConfigurationError as exc:
        return str(exc)
    except SecureDropError as exc:
        return f"Recovery before serving failed: {exc}"
    return ""


def withdraw(boot: Boot) -> None:
    """The last worker has ended: the node's name is free."""
    try:
        owners.withdraw(boot)
    finally:
        connections.close_all()


def _warn(problems: Iterable[CheckMessage]) -> None:
    """What does not stop the service and should not surprise anybody: a certificate that expires
    within 30 days, a partner without session reuse, an app that is not migrated."""
    for problem in problems:
        if not problem.is_serious():
            logger.warning("check.warning", problem=problem.msg, hint=problem.hint, id=problem.id)
    foreign = database.foreign_migrations()
    if foreign:
        logger.warning("database.foreign_migrations", migrations=foreign[:20])


def _storages_that_fail() -> dict[str, str]:
    """Those of some partners, with the reason; each is in the log.

    Raises:
        ConfigurationError: no partner's storage can be used.
    """
    aliases = storages.aliases_of_partners()
    failing = storages.unusable(aliases, min(get_conf().storage_timeout, STORAGE_PATIENCE))
    if len(failing) == len(aliases):
        told = [f"Storage “{a}” cannot be used: {why.rstrip('.')}." for a, why in failing.items()]
        mend = f"Check SECUREDROP_STORAGE_URL; “{command_line('doctor')}” tries each step."
        raise ConfigurationError(" ".join([*told, mend]))
    for alias, reason in failing.items():
        logger.error(
            "storage.unusable",
            storage=alias,
            reason=reason,
            partners=storages.partners_of(alias),
        )
    return failing


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
        told = {"problem": problem.msg, "hint": problem.hint, "id": problem.id}
        if problem.id == "securedrop.W024":
            logger.warning("certificate.expires_soon", **told)
        else:
            logger.warning("certificate.warning", **told)


def recover_generation(boot: Boot) -> None:
    """Another generation of this service was killed."""
    try:
        housekeeping.recover_generation(boot)
    finally:
        connections.close_all()


def recover_owner(boot: Boot, dead: str) -> None:
    """Settle the uploads of one worker that died; in a process of its own."""
    try:
        housekeeping.recover_owner(boot, dead)
    finally:
        connections.close_all()


def prune(boot: Boot) -> None:
    """Every hour: what may be removed, and what should be known."""
    try:
        _warn(serving_problems())
        housekeeping.prune(boot)
    finally:
        connections.close_all()
