"""The Django app: wiring only."""

from __future__ import annotations

from django.apps import AppConfig


class SecureDropConfig(AppConfig):
    """``INSTALLED_APPS += ["securedrop_ftp"]``."""

    name = "securedrop_ftp"
    verbose_name = "Secure file drop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and connect the receivers."""
        from securedrop_ftp.checks import register_checks

        register_checks()

        from securedrop_ftp.access import authentication
        from securedrop_ftp.audit import receivers

        receivers.connect()
        authentication.connect()
