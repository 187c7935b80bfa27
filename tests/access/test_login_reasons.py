"""Why a login was refused: a value for the session that meets it, words for the row."""

from __future__ import annotations

import pytest

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause
from securedrop_ftp.exceptions import LoginReason
from securedrop_ftp.reasons import of_login, of_refusal

#: The end of its session says it.
WITHOUT_A_CAUSE = {LoginReason.GONE}


@pytest.mark.parametrize("reason", LoginReason)
def test_each_reason_has_a_cause_which_its_row_tells_too(reason: LoginReason) -> None:
    cause = of_refusal(reason, reason)
    assert (cause is None) is (reason in WITHOUT_A_CAUSE)
    assert of_login(reason) is cause
    assert of_login(f"{reason}; user locked until 2026-01-01T00:00:00Z") is cause


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("password; certificate ab12 CN=expired", causes.LOGIN_PASSWORD),
        ("client certificate is revoked; certificate ab12 CN=a", causes.LOGIN_CERTIFICATE_REVOKED),
        ("client certificate is not one; certificate ab12 CN=expired",
         causes.LOGIN_CERTIFICATE_WRONG),
        ("max_sessions: the partner has as many sessions as it may have", causes.LOGIN_SESSIONS),
        ("user locked until 2026-01-01T00:00:00Z", causes.LOGIN_LOCKED),
        ("storage “default”: no disk", causes.SERVICE_UNAVAILABLE),
        ("passwords of partners", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_row_is_read_by_its_first_words(words: str, cause: Cause | None) -> None:
    assert of_login(words) is cause
