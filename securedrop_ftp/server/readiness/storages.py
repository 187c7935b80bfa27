"""Each storage that partners use: is it there? One that is not must not stop the others'."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from securedrop_ftp.intake.locations import located_backend
from securedrop_ftp.models import Partner
from securedrop_ftp.server.readiness import bounded


def aliases_of_partners() -> list[str]:
    """The storages of enabled partners; the default one where there is no partner yet."""
    used = Partner.objects.filter(enabled=True).values_list("storage", flat=True).distinct()
    return sorted(set(used)) or ["default"]


def unusable(aliases: Iterable[str], seconds: float) -> dict[str, str]:
    """The aliases that cannot be used now, and why. All are asked at once; who has not answered
    within ``seconds`` is among them."""
    questions = {f"storage {alias}": partial(_check, alias) for alias in aliases}
    answers = bounded.ask(questions, seconds)
    return {
        name.removeprefix("storage "): str(answer) or type(answer).__name__
        for name, answer in answers.items()
        if isinstance(answer, Exception)
    }


def partners_of(alias: str) -> list[str]:
    """The names of enabled partners that store there."""
    rows = Partner.objects.filter(enabled=True, storage=alias)
    return list(rows.order_by("name").values_list("name", flat=True))


def _check(alias: str) -> None:
    located_backend(alias).check()
