"""The table of the verbs: what each gets, and that policy is in the table alone."""

from __future__ import annotations

import inspect
import typing

import pytest

from securedrop_ftp.ftps import verbs
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import VERBS, Verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.ftps.verbs import refused
from securedrop_ftp.models import Permission

assert verbs.__all__  # importing the package registers the verbs


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_a_verb_that_needs_a_login_gets_a_logged_in_session_and_no_other_does(verb: Verb) -> None:
    hints = typing.get_type_hints(verb.run)
    first = next(iter(inspect.signature(verb.run).parameters))
    assert hints[first] is (LoggedIn if verb.login else Session)


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_what_is_answered_in_the_clear_needs_neither_login_nor_permission(verb: Verb) -> None:
    assert not (verb.clear and (verb.login or verb.permission))
    assert verb.login or not verb.permission


CHANGES = {
    Permission.UPLOAD,
    Permission.OVERWRITE,
    Permission.DELETE,
    Permission.RENAME,
    Permission.RENAME_OWN,
    Permission.MKDIR,
    Permission.RMDIR,
}

#: Verbs with a name that change nothing and move no file.
LOOKS = {"ACCT", "CWD", "XCWD", "LIST", "NLST", "MLSD", "MLST", "STAT", "SIZE", "MDTM"}
LOOKS |= {"HASH", "XSHA256"}


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_a_verb_that_changes_storage_or_moves_a_file_says_what_it_attempts(verb: Verb) -> None:
    """Without it, a refusal before the verb has begun would leave no row (invariant 8)."""
    changes = bool(CHANGES & set(verb.permission)) and verb.name not in LOOKS
    names = verb.is_about_a_name and verb.run.__module__ != refused.__name__
    if changes or (names and verb.name not in LOOKS):
        assert verb.attempts
    if verb.name in LOOKS:
        assert not verb.attempts
