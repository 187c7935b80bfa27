"""Partners that were there before the choice of ``ascii`` keep what they had."""

from __future__ import annotations

from tests.fixtures.databases import SharedDatabase

_HOW = """
import django; django.setup()
from securedrop_ftp.models import Partner
print(sorted({p.ascii for p in Partner.objects.all()}), Partner().ascii)
"""


def test_their_files_under_type_a_are_stored_as_sent(shared_database: SharedDatabase) -> None:
    run = shared_database.run
    assert run("-c", _HOW).strip() == "['convert'] convert"
    run("manage.py", "migrate", "securedrop_ftp", "0014")
    run("manage.py", "migrate")
    assert run("-c", _HOW).strip() == "['as-sent'] convert"
