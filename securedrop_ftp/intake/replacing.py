"""Whether what has a name may be replaced: one rule for uploads and renames.

Under the policy ``replace`` who may overwrite replaces any file; who may not (``drop`` and
``dropbox``) replaces what the account itself stored, by the ledger, and nothing else. The latter
is asked again in the transaction that says ``publishing``: until then another account may have
renamed its file to the name, and from then on nobody changes who has it.
"""

from __future__ import annotations

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.intake import stored_names
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.models import OverwritePolicy, Permission


def may_replace_any(principal: Principal) -> bool:
    """Whether it may replace a file, whoever stored it."""
    return _replaces(principal) and principal.may(Permission.OVERWRITE)


def may_replace_own(principal: Principal) -> bool:
    """Whether it may replace what the account itself stored, and nothing else."""
    return _replaces(principal) and not principal.may(Permission.OVERWRITE)


def may_replace(principal: Principal, name: Name) -> bool:
    """Whether it may replace what has a name now. Asks the ledger."""
    if may_replace_own(principal):
        return is_own(principal.account_id, name)
    return may_replace_any(principal)


def is_own(account_id: int | None, name: Name) -> bool:
    """Whether the account stored what has a name now. Asks the ledger."""
    holder = stored_names.holder(name)
    return holder is not None and account_id is not None and holder.account_id == account_id


def _replaces(principal: Principal) -> bool:
    return principal.overwrite == OverwritePolicy.REPLACE
