"""``partner_certificates``: what client certificates a partner's accounts show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.certificates import described
from securedrop_ftp.access.provisioning import change_partner
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.models import ClientCertificates, Partner


class Command(SentenceCommand):
    help = (
        "Show or set a partner's client certificates: the policy, who issues them, which are "
        "pinned, which are revoked. What is not named stays; an empty file clears. Good for a "
        "timer that renews a revocation list."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("partner", help="its name")
        parser.add_argument("--policy", choices=ClientCertificates.values)
        parser.add_argument("--ca", metavar="FILE", help="CA certificates in PEM")
        parser.add_argument("--crl", metavar="FILE", help="revocation lists in PEM")
        parser.add_argument("--fingerprints", metavar="FILE", help="SHA-256, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        partner = Partner.objects.filter(name=options["partner"]).first()
        if partner is None:
            raise CommandError(f"There is no partner “{options['partner']}”.")
        values = {
            field: _read(options[name])
            for name, field in (
                ("ca", "client_ca"),
                ("crl", "client_crl"),
                ("fingerprints", "client_fingerprints"),
            )
            if options[name] is not None
        }
        if options["policy"] is not None:
            values["client_certificates"] = options["policy"]
        if values:
            change_partner(partner, operator(), **values)
        self.stdout.write(f"Partner {partner.name}: {partner.client_certificates}.")
        for line in described(partner):
            self.stdout.write(line)
        for fingerprint in partner.client_fingerprints.split():
            self.stdout.write(f"fingerprint {fingerprint}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"Cannot read {path}: {exc}.") from exc
