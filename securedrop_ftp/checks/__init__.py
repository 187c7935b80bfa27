"""System checks: every bad setting has a stable id and a hint that says how to mend it.

``securedrop.E0xx`` stop every command that touches the service, ``securedrop.W0xx`` are printed.
Values are judged at every command; certificates (files that may be absent while one migrates) by
``check --deploy`` and by ``ftps_serve``, which calls :func:`serving_problems` itself.
"""

from __future__ import annotations

from django.core.checks import CheckMessage, Tags, register

from securedrop_ftp.checks.certificates import certificate_problems, check_certificates
from securedrop_ftp.checks.data_folder import check_data_folder, data_folder_problems
from securedrop_ftp.checks.database import check_connections
from securedrop_ftp.checks.exposure import check_demo_exposure, exposure_problems
from securedrop_ftp.checks.libraries import check_libraries, library_problems
from securedrop_ftp.checks.login import check_login
from securedrop_ftp.checks.partners import check_partners
from securedrop_ftp.checks.private import check_private
from securedrop_ftp.checks.project import check_memory_storage, check_project, project_problems
from securedrop_ftp.checks.values import (
    check_secret_key,
    check_storages,
    check_values,
    value_problems,
)
from securedrop_ftp.conf import get_conf

__all__ = [
    "certificate_problems",
    "check_secret_key",
    "data_folder_problems",
    "exposure_problems",
    "project_problems",
    "register_checks",
    "serving_problems",
    "value_problems",
]


def register_checks() -> None:
    """Called once, when the app is ready."""
    register(check_secret_key, Tags.security)
    register(check_values, "securedrop")
    register(check_storages, "securedrop")
    register(check_demo_exposure, "securedrop")
    register(check_certificates, "securedrop", deploy=True)
    register(check_data_folder, "securedrop", deploy=True)
    register(check_libraries, "securedrop", deploy=True)
    register(check_login, Tags.security)
    register(check_private, Tags.security)
    register(check_partners, Tags.database)
    register(check_project, "securedrop", deploy=True)
    register(check_memory_storage, "securedrop")
    register(check_connections, "securedrop")


def serving_problems() -> list[CheckMessage]:
    """What ``ftps_serve`` must know before it listens, beyond :func:`value_problems`: the secret
    key, storages, libraries, certificates, the demo's exposure, and partners whose settings weaken
    the service. Errors among them mean: do not serve."""
    conf = get_conf()
    return [
        *check_secret_key(),
        *check_private(),
        *check_storages(),
        *library_problems(),
        *certificate_problems(conf),
        *exposure_problems(conf),
        *check_memory_storage(),
        *check_connections(),
        *check_partners(databases=["default"]),
    ]
