"""``dev_certs``: certificates for development and the demo."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from securedrop_ftp.tls.development import existing, make_certificates


class Command(BaseCommand):
    help = (
        "Make certificates for development: a CA for loopback names only, a server pair "
        "(localhost, 127.0.0.1, ::1) and a client pair. Never for production."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dir", type=Path, default=Path("certs/dev"), help="where to (default: %(default)s)"
        )
        parser.add_argument("--force", action="store_true", help="replace what is there")

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["dir"]
        there = existing(directory)
        if there and not options["force"]:
            raise CommandError(
                f"{directory} holds {', '.join(there)} already. Nothing was changed; "
                "--force replaces them, and clients must then trust the new ca.pem."
            )
        try:
            make_certificates(directory)
        except OSError as exc:
            raise CommandError(f"Cannot write to {directory}: {exc.strerror}.") from exc
        self.stdout.write(
            f"Wrote ca.pem, server.pem, server.key, client.pem, client.key to {directory}."
        )
        self.stdout.write(
            f"Serve with SECUREDROP_TLS_CERT_FILE={directory / 'server.pem'} "
            f"SECUREDROP_TLS_KEY_FILE={directory / 'server.key'}"
        )
