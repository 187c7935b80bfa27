"""The TLS contexts of one worker, with the certificate in force."""

from __future__ import annotations

from OpenSSL import SSL

from securedrop_ftp.conf import Conf
from securedrop_ftp.tls.contexts import Certificate, build_context, strangers_context
from securedrop_ftp.tls.profiles import PROFILES, Profile


class ServerContexts:
    """Made when first needed; :meth:`take` changes what connections of the next moment get."""

    def __init__(self, conf: Conf, certificate: Certificate) -> None:
        self.certificate = certificate
        self.ask_client = True  # until we know that nobody wants client certificates
        self._conf = conf
        self._control: dict[bool, tuple[tuple[Certificate, Profile, bool], SSL.Context]] = {}
        self._strangers: dict[bool, SSL.Context] = {}

    def take(self, conf: Conf, certificate: Certificate) -> None:
        """New settings, and a new certificate for new connections."""
        self._conf, self.certificate = conf, certificate
        self._strangers.clear()

    def control(self, tls13: bool) -> tuple[SSL.Context, bool]:
        """The context for a client that suits TLS 1.3, or does not; and whether TLS 1.3 may be
        spoken."""
        wanted = self.certificate, self._profile(tls13), self.ask_client
        known = self._control.get(tls13)
        if known is None or known[0] != wanted:
            certificate, profile, ask_client = wanted
            known = wanted, build_context(certificate, profile, ask_client=ask_client)
            self._control[tls13] = known
        return known[1], wanted[1].has_tls13

    def strangers(self, tls13: bool) -> SSL.Context:
        """The context for data channels that resume nothing."""
        if tls13 not in self._strangers:
            made = strangers_context(self.certificate, self._profile(tls13))
            self._strangers[tls13] = made
        return self._strangers[tls13]

    def _profile(self, tls13: bool) -> Profile:
        profile = PROFILES[self._conf.tls_profile]
        return profile if tls13 else profile.without_tls13()
