"""The verbs, one file per family; importing this package registers them all."""

from __future__ import annotations

from securedrop_ftp.ftps.verbs import (
    data_connection,
    directories,
    files,
    information,
    listing,
    login,
    parameters,
    refused,
    transfers,
)

__all__ = [
    "data_connection",
    "directories",
    "files",
    "information",
    "listing",
    "login",
    "parameters",
    "refused",
    "transfers",
]
