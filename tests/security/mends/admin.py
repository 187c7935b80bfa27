"""Rows of docs/reference/security-bar.md: the admin site."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

WEB = "tests/project/test_web_server.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "81",
        "two requests that are reset in their body take the admin site",
        (Cut("project/demo/run.py", '"--http": "1"', '"--http": "auto"'),),
        (f"{WEB}::test_requests_that_are_reset_in_their_body_leave_the_admin_site_answering",),
    ),
)
