"""``partner_set``: change a partner."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.changes import set_partner
from securedrop_ftp.intake.relocation import refuse_to_leave_files
from securedrop_ftp.management import shown
from securedrop_ftp.management.acting import give_directory
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.management.values import add_switch, number_or
from securedrop_ftp.models import AsciiPolicy, Mode, OverwritePolicy, Partner

#: Option to field, where the names differ.
FIELDS: Final = {"rename": "name", "tls_session_reuse": "require_tls_session_reuse"}
OPTIONS: Final = (
    "rename",
    "enabled",
    "mode",
    "overwrite",
    "storage",
    "prefix",
    "tls_session_reuse",
    "create_directories",
    "append",
    "ascii",
    "accept_missing_close_notify",
    "max_file_size",
    "max_sessions",
    "max_passive_listeners",
    "resume_window",
    "stall_window",
    "min_transfer_rate",
)
#: Fields that are empty where the command says “none” or “default”.
_MAY_BE_EMPTY: Final = ("max_file_size", "resume_window", "stall_window", "min_transfer_rate")


class Command(SentenceCommand):
    help = (
        "Change a partner. What is not named stays; a change that is none writes nothing, so it "
        "may be run again. Sessions that live follow within a minute. Network rules: "
        "partner_rules; client certificates: partner_certificates."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the partner's name")
        parser.add_argument("--rename", metavar="NEW", help="another name; the prefix stays")
        add_switch(parser, "--enabled", "off: its accounts do not log in, its sessions end")
        parser.add_argument("--mode", choices=Mode.values)
        parser.add_argument(
            "--overwrite",
            choices=[*OverwritePolicy.values, "default"],
            help="what an upload to a taken name does; default: what the mode has",
        )
        parser.add_argument("--storage", metavar="ALIAS", help="an alias of STORAGES")
        parser.add_argument("--prefix", help="where its files live in storage")
        add_switch(parser, "--tls-session-reuse", "whether data channels must resume the session")
        add_switch(
            parser,
            "--create-directories",
            "on: names make the directories that are missing above them; off: they are refused",
        )
        parser.add_argument(
            "--directory",
            action="append",
            default=[],
            metavar="NAME",
            help="make a directory below its prefix, where it is not there; may be repeated",
        )
        add_switch(
            parser,
            "--append",
            "on: APPE and REST with STOR add to an account's own finished file, which is published "
            "anew each time; overwrite policy “replace” only",
        )
        parser.add_argument(
            "--ascii",
            choices=AsciiPolicy.values,
            help="files under TYPE A: CR LF is stored as LF; or refused; or stored as sent",
        )
        add_switch(
            parser,
            "--accept-missing-close-notify",
            "on: an upload may end without it where ALLO announced exactly what came",
        )
        parser.add_argument(
            "--max-file-size", type=number_or("none"), metavar="BYTES|none", help="of one file"
        )
        parser.add_argument("--max-sessions", type=int, metavar="N", help="at once")
        parser.add_argument(
            "--max-passive-listeners", type=int, metavar="N", help="passive ports that wait"
        )
        parser.add_argument(
            "--resume-window",
            type=number_or("default"),
            metavar="SECONDS|default",
            help="how long an interrupted upload is kept",
        )
        parser.add_argument(
            "--stall-window",
            type=number_or("default"),
            metavar="SECONDS|default",
            help="how long a transfer may move nothing",
        )
        parser.add_argument(
            "--min-transfer-rate",
            type=number_or("default"),
            metavar="BYTES|default",
            help="a second, averaged over that window, below which a transfer is given up; 0: none",
        )
        parser.add_argument(
            "--yes", action="store_true", help="move the prefix or the storage away from its files"
        )
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        partner = partner_named(options["name"])
        values = {
            FIELDS.get(name, name): options[name] for name in OPTIONS if options[name] is not None
        }
        for name in _MAY_BE_EMPTY:
            if values.get(name) == "":
                values[name] = None
        if values.get("overwrite") == "default":
            values["overwrite"] = ""
        if not options["yes"]:
            _refuse_to_leave_files(partner, values)
        changes = set_partner(partner, operator(), values)
        made = [name for name in options["directory"] if give_directory(partner, name)]
        changes += [f"directory {name} made" for name in made]
        for change in changes or ["nothing was changed"]:
            self.stderr.write(f"Partner {partner.name}: {change}.")
        self.stdout.write(shown.one(shown.partner_row(partner), options["format"]))


def _refuse_to_leave_files(partner: Partner, values: dict[str, Any]) -> None:
    try:
        refuse_to_leave_files(
            partner,
            values.get("prefix", partner.prefix),
            values.get("storage", partner.storage),
        )
    except ValidationError as exc:
        raise CommandError(
            f"{' '.join(exc.messages)} With --yes it is done all the same: the files stay where "
            "they are, and the partner's accounts do not see them any more."
        ) from exc
