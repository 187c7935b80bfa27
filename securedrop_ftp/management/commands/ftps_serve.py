"""``manage.py ftps_serve``: the FTPS service, in the foreground."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from securedrop_ftp.conf import get_conf
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.server import housekeeping
from securedrop_ftp.server.ending import end_process
from securedrop_ftp.server.environment_file import EnvironmentFile
from securedrop_ftp.server.handover import Link
from securedrop_ftp.server.listener import raise_descriptor_limit
from securedrop_ftp.server.master import LINK_OPTION, Master, own_command
from securedrop_ftp.server.reload import override
from securedrop_ftp.server.supervisor import Supervisor


class Command(BaseCommand):
    """Thin: the master; and in its children arguments over settings, then the supervisor."""

    help = (
        "Serve FTPS in the foreground. Prints “ready ftps://HOST:PORT” when every worker accepts. "
        "SIGTERM drains and stops; SIGHUP takes new certificates and settings for new connections; "
        "SIGUSR2 (ftps_replace) starts the code on disk anew without refusing a connection."
    )
    # The checks that matter before serving run in a child process (see housekeeping.preflight),
    # so that no database connection exists before the workers are forked.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """What may be said on the command line; the rest is settings."""
        parser.add_argument(
            "--bind", metavar="HOST:PORT", help="address to listen on (SECUREDROP_FTPS_BIND)"
        )
        parser.add_argument(
            "--passive-ports", metavar="A-B", help="data ports (SECUREDROP_FTPS_PASSIVE_PORTS)"
        )
        parser.add_argument(
            "--passive-address",
            metavar="HOST",
            help="IPv4 address or host name told to clients behind NAT "
            "(SECUREDROP_FTPS_PASSIVE_ADDRESS)",
        )
        parser.add_argument(
            "--workers", type=int, metavar="N", help="worker processes (SECUREDROP_FTPS_WORKERS)"
        )
        parser.add_argument(
            "--environment-file",
            type=Path,
            metavar="FILE",
            help="variables that a later generation takes anew: the file of EnvironmentFile=",
        )
        # Where the master has put its link to this generation.
        parser.add_argument(LINK_OPTION, type=int, help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop."""
        if options["link"] is not None:
            status = self._serve(Link.inherited(options["link"]), options)
        else:
            raise_descriptor_limit()
            master = Master(own_command(), self._environment(options["environment_file"]))
            link = master.begin()
            status = master.serve() if link is None else self._serve(link, options)
        end_process(status)

    @staticmethod
    def _environment(file: Path | None) -> Callable[[], Mapping[str, str]]:
        try:
            return EnvironmentFile(file).environment if file is not None else lambda: os.environ
        except ConfigurationError as exc:
            raise CommandError(str(exc)) from exc

    def _serve(self, link: Link, options: dict[str, Any]) -> int:
        """As one generation."""
        try:
            self._apply(options)
            return Supervisor(get_conf(), link, self._announce).serve()
        except ConfigurationError as exc:
            link.send("refused", reason=str(exc))
            raise CommandError(str(exc)) from exc

    def _apply(self, options: dict[str, Any]) -> None:
        given = {
            "FTPS_BIND": options["bind"],
            "FTPS_PASSIVE_PORTS": options["passive_ports"],
            "FTPS_PASSIVE_ADDRESS": options["passive_address"],
            "FTPS_WORKERS": options["workers"],
        }
        changes = {key: value for key, value in given.items() if value is not None}
        override(changes)
        housekeeping.refuse_bad_settings(settings.SECUREDROP)

    def _announce(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
