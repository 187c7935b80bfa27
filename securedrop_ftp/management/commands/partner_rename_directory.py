"""``partner_rename_directory``: a rename without the bounds that a client's has."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp import engine, keys
from securedrop_ftp.events import Event
from securedrop_ftp.intake.locations import located_backend
from securedrop_ftp.intake.naming import NameRequest
from securedrop_ftp.management.acting import operator_in
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.flat import FlatStore


class Command(SentenceCommand):
    help = (
        "Rename a directory of a partner, however many files it holds. An object store copies them "
        "one by one, which a client may ask for 10 000 at most. Until it is done nothing is stored "
        "in either directory. Exit code 1 if it was not done; nothing is changed then."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the partner's name")
        parser.add_argument("source", help="the directory, below the partner's prefix: /in/2025")
        parser.add_argument("target", help="its new name, which nothing has: /archive/2025")

    def handle(self, *args: Any, **options: Any) -> None:
        partner = partner_named(options["name"])
        backend = located_backend(partner.storage)
        if isinstance(backend, FlatStore):
            backend.renames_are_bounded = False
        source, target = (keys.resolve("/", options[name]) for name in ("source", "target"))
        key = keys.key_for(partner.prefix, source)
        if not ConfinedStorage(backend, partner.prefix).stat(key).is_dir:
            raise CommandError(f"{source} is a file; the partner itself can rename it.")
        event = Event(
            "file.renamed",
            partner=partner.name,
            partner_id=partner.pk,
            actor=str(operator()),
            path=f"{source} -> {target}",
        )
        request = NameRequest(
            principal=operator_in(partner),
            path=source,
            key=key,
            event=event,
            pending="",
            target_path=target,
            target_key=keys.key_for(partner.prefix, target),
        )
        engine.current().intake.naming.rename(request, lambda _renamed: "")
        self.stdout.write(f"Renamed {source} to {target}.")
