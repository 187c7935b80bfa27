"""``partner_certificates``: what client certificates a partner's accounts show."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from securedrop_ftp.access.certificates import described
from securedrop_ftp.access.provisioning import change_partner
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.files import text_of
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.models import ClientCertificates


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
        partner = partner_named(options["partner"])
        values = {
            field: text_of(options[name])
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
