"""Terms are decided once, alike for a new upload and for one that is gone on with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import TooLarge, UploadRejected
from securedrop_ftp.ftps.answers import FTPS
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Capabilities
from tests.intake.house import CONF

MEMORY: Capabilities = MemoryBackend.capabilities


def terms(principal: Principal, capabilities: Capabilities = MEMORY, **changes: Any) -> Terms:
    request = UploadRequest(principal, "s", "192.0.2.7", "/a", "acme/a", FTPS, **changes)
    return Terms.of(request, capabilities, CONF)


def facts(found: Terms) -> tuple[Any, ...]:
    return (found.policy, found.replace, found.keeps_parts, found.limit, found.sizes.first)


def test_who_goes_on_has_the_terms_of_who_begins(alice: Principal) -> None:
    limited = replace(alice, max_file_size=1000)
    assert facts(terms(limited, announced=900)) == facts(terms(limited, announced=900, offset=100))


def test_the_tighter_of_two_limits_holds(alice: Principal) -> None:
    small = replace(MEMORY, max_object_size=500)
    assert terms(replace(alice, max_file_size=1000), small).limit == 500
    assert terms(replace(alice, max_file_size=100), small).limit == 100
    assert terms(alice, small).limit == 500
    assert terms(alice, replace(MEMORY, max_object_size=None)).limit is None


@pytest.mark.parametrize("changes", [{}, {"offset": 10}, {"append": True}])
def test_more_than_the_limit_is_refused_before_the_first_byte(
    alice: Principal, changes: dict[str, Any]
) -> None:
    with pytest.raises(TooLarge):
        terms(replace(alice, max_file_size=10), announced=11, **changes)


@pytest.mark.parametrize(
    ("changes", "missing", "told"),
    [
        ({}, Permission.UPLOAD, "no permission to upload"),
        ({"offset": 10}, Permission.UPLOAD, "no permission to resume"),
        ({"append": True}, Permission.RESUME, "no permission to resume"),
    ],
)
def test_a_permission_that_is_missing_is_named(
    alice: Principal, changes: dict[str, Any], missing: Permission, told: str
) -> None:
    with pytest.raises(UploadRejected, match=told):
        terms(replace(alice, permissions=alice.permissions - {missing}), **changes)


def test_replacing_needs_the_policy_and_the_permission(alice: Principal) -> None:
    replaces = replace(alice, overwrite=OverwritePolicy.REPLACE)
    assert terms(replaces).replace
    assert not terms(replace(replaces, overwrite=OverwritePolicy.REJECT)).replace
    meek = replaces.permissions - {Permission.OVERWRITE}
    assert not terms(replace(replaces, permissions=meek)).replace


def test_parts_are_kept_where_storage_can_and_the_owner_may_go_on(alice: Principal) -> None:
    assert terms(alice).keeps_parts
    assert not terms(alice, converted=True).keeps_parts
    assert not terms(alice, replace(MEMORY, resumable=False)).keeps_parts
    meek = replace(alice, permissions=alice.permissions - {Permission.RESUME})
    assert not terms(meek).keeps_parts
