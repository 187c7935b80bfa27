"""The admin site's certificate: dates, key, and the names that browsers ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from django.conf import settings

from securedrop_ftp.checks import certificate_problems
from securedrop_ftp.conf import Conf
from securedrop_ftp.server.doctor.finding import Finding, from_message, ok, warning

CHECK: Final = "admin site"
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "*"})


def site_certificate(conf: Conf) -> Iterator[Finding]:
    """Nothing where the site is for this machine only, or behind a proxy that ends TLS."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host not in _LOCAL]
    if not hosts or getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        return
    own = bool(conf.web_tls_cert_file)
    pair = replace(conf, tls_cert_file=conf.web_cert_file, tls_key_file=conf.web_key_file)
    messages = certificate_problems(pair)
    if own:  # else said of the FTPS pair already
        yield from (from_message(CHECK, message) for message in messages)
    if any(message.is_serious() for message in messages):
        return
    leaf = x509.load_pem_x509_certificates(Path(pair.tls_cert_file).read_bytes())[0]
    missing = [host for host in hosts if not _covers(leaf, host.strip("[]"))]
    if missing:
        yield warning(
            CHECK,
            f"Its certificate {pair.tls_cert_file} is not for {', '.join(missing)}, which "
            "SECUREDROP_WEB_HOSTS names.",
            "Have it issued for these names too, or name the admin site's own pair in "
            "SECUREDROP_WEB_TLS_CERT_FILE and SECUREDROP_WEB_TLS_KEY_FILE.",
        )
    elif not messages:
        yield ok(CHECK, f"{pair.tls_cert_file} is for {', '.join(hosts)}.")


def _covers(leaf: x509.Certificate, host: str) -> bool:
    """RFC 9525, section 6.3: a wildcard stands for one whole label, the leftmost."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    hosts = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    _, _, parent = host.lower().partition(".")
    return host in addresses or host.lower() in hosts or (bool(parent) and f"*.{parent}" in hosts)
