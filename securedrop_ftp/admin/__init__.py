"""Django admin: one module for each model. Importing the package registers them."""

from __future__ import annotations

from securedrop_ftp.admin import account, audit_event, live_session, lockout, partner, upload

__all__ = ["account", "audit_event", "live_session", "lockout", "partner", "upload"]
