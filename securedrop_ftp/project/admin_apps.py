"""Django's admin app with our site in the place of its default one."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class SecureAdminConfig(AdminConfig):
    """``INSTALLED_APPS`` names this instead of ``django.contrib.admin``."""

    default_site = "securedrop_ftp.project.admin_site.SecureAdminSite"
