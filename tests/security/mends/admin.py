"""Rows of docs/reference/security-bar.md: the admin site."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

WEB = "tests/project/test_web_server.py"
SEARCH = "tests/admin/test_search.py"
COLLEAGUE = "tests/admin/test_read_only_colleague.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "81",
        "two requests that are reset in their body take the admin site",
        (Seam("project.demo.run:HTTP_VERSION", "'auto'"),),
        (f"{WEB}::test_requests_that_are_reset_in_their_body_leave_the_admin_site_answering",),
    ),
    Mend(
        "82",
        "a search says that there is nothing where it has not looked",
        (
            Seam("admin.keyset:KeysetChangeList._fetch", "False", test="edge"),
            Cut(
                "admin/keyset.py",
                "queryset = queryset.filter(wanted.parts)",
                "queryset = queryset.filter(wanted.parts, pk__in=[row[1] for row in "
                'queryset.values_list(time_field, "pk")[:WINDOW]])',
            ),
        ),
        (f"{SEARCH}::test_every_part_of_a_name_is_found_however_old_its_row[sqlite]",),
    ),
    Mend(
        "83",
        "a value in an address is an error of the server",
        (
            Seam("admin.filters:DaysFilter.queryset", "last is not None", test="_LAST_DAY"),
            Seam("admin.pages:_NO_SUCH_VALUE", "(ZeroDivisionError,)"),
        ),
        (f"{SEARCH}::test_no_value_of_no_parameter_is_a_server_error",),
    ),
    Mend(
        "84",
        "buttons that answer with a refusal",
        (Seam("admin.pages:AskingAdmin.get_list_display", "True", test="_allowed"),),
        (f"{COLLEAGUE}::test_every_link_on_every_page_answers",),
    ),
)
