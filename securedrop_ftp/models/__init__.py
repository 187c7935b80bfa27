"""The database: partners, accounts, network rules, the upload ledger, the audit trail."""

from __future__ import annotations

from securedrop_ftp.models.account import Account, is_staff
from securedrop_ftp.models.audit_event import AuditEvent, AuditHead
from securedrop_ftp.models.client_certificates import ClientCertificates
from securedrop_ftp.models.directory import Directory
from securedrop_ftp.models.ip_rule import IPRule
from securedrop_ftp.models.live_session import LiveSession
from securedrop_ftp.models.login_attempt import Lockout, LoginAttempt
from securedrop_ftp.models.name_change import NameChange, NameChangeKind, NameChangeState
from securedrop_ftp.models.partner import AsciiPolicy, Mode, OverwritePolicy, Partner
from securedrop_ftp.models.permissions import DEFAULT_PERMISSIONS, Permission
from securedrop_ftp.models.service_boot import ServiceBoot
from securedrop_ftp.models.storage_location import StorageLocation
from securedrop_ftp.models.upload import Upload, UploadState

__all__ = [
    "DEFAULT_PERMISSIONS",
    "Account",
    "AsciiPolicy",
    "AuditEvent",
    "AuditHead",
    "ClientCertificates",
    "Directory",
    "IPRule",
    "LiveSession",
    "Lockout",
    "LoginAttempt",
    "Mode",
    "NameChange",
    "NameChangeKind",
    "NameChangeState",
    "OverwritePolicy",
    "Partner",
    "Permission",
    "ServiceBoot",
    "StorageLocation",
    "Upload",
    "UploadState",
    "is_staff",
]
