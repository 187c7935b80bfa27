"""The ready-to-run project as a Django app: it brings the ``demo`` command."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """No models; only what belongs to this project and not to the reusable app."""

    name = "securedrop_ftp.project"
    label = "securedrop_project"
    verbose_name = "Secure file drop, the project"
