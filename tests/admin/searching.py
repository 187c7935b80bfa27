"""Search as an operator meets it, over the database that the environment names.

``python -m tests.admin.searching`` prints as JSON, for each way of looking for a term:
the names that are found when every link "search further" is followed, and in how many pages.
"""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - after the setup
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from securedrop_ftp.models import Partner, Upload  # noqa: E402

COUNT, WINDOW = 1000, 100
LEDGER = "admin:securedrop_ftp_upload_changelist"


def fill() -> None:
    """A thousand uploads of two partners in turn; the first are the oldest."""
    partners = list(Partner.objects.order_by("pk")[:2])
    rows = Upload.objects.bulk_create(
        Upload(
            partner=partners[number % 2],
            username="somebody",
            storage="default",
            backend="memory",
            key=f"p/Rëport-{number:04}.xml",
            path=f"/Rëport-{number:04}.xml",
            policy="reject",
            state="committed",
            sha256=f"abc{number:061x}",
        )
        for number in range(COUNT)
    )
    for number, row in enumerate(rows):
        row.started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    Upload.objects.bulk_update(rows, ["started"])


def found(client: Client, **query: str) -> tuple[list[str], int, list[str]]:
    """(names, pages, what the pages said of the search) until no page has a link further."""
    names: list[str] = []
    said: list[str] = []
    answer = client.get(reverse(LEDGER), query, secure=True)
    for pages in range(1, 100):
        assert answer.status_code == 200, answer.status_code
        page = answer.content.decode()
        names += re.findall(r"/(R\w+-\d{4})\.xml", page)
        further = re.search(r'securedrop-searched">(.*?)<a href="([^"]+)">Search older rows', page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        said += re.findall(r'securedrop-searched">(.*?)<a', page)
        link = older[1] if older else further[2] if further else None
        if link is None:
            return names, pages, said
        answer = client.get(reverse(LEDGER) + html.unescape(link), secure=True)
    raise AssertionError("the links never end")


def main() -> None:
    """See the module's docstring."""
    fill()
    client = Client(SERVER_NAME="localhost")
    user = get_user_model().objects.create_superuser("olga")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    sha = Upload.objects.get(path="/Rëport-0007.xml").sha256
    partner = Partner.objects.order_by("pk")[1].name
    told: dict[str, Any] = {"vendor": connection.vendor}
    with mock.patch("securedrop_ftp.admin.keyset.WINDOW", WINDOW):
        told["oldest by a part"] = found(client, q="PORT-0003")
        told["in a filter"] = found(client, q="0003.xml", partner=partner)
        told["outside the filter"] = found(client, q="0004.xml", partner=partner)
        told["too short for trigrams"] = found(client, q="03")
        told["nowhere"] = found(client, q="no such name")
        told["digest in upper case"] = found(client, q=sha.upper())
        told["an account exactly"] = found(client, q="somebody", first_day="2026-01-02")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
