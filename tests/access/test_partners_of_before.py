"""Partners that were there before a choice keep what they had."""

from __future__ import annotations

from tests.fixtures.databases import SharedDatabase

_HOW = """
import django; django.setup()
from securedrop_ftp.models import Partner
print(sorted({p.ascii for p in Partner.objects.all()}), Partner().ascii)
"""
_MISSING = """
import django; django.setup()
from securedrop_ftp.models import Partner
print({p.create_directories for p in Partner.objects.all()}, Partner().create_directories)
"""


def test_their_files_under_type_a_are_stored_as_sent(shared_database: SharedDatabase) -> None:
    run = shared_database.run
    assert run("-c", _HOW).strip() == "['convert'] convert"
    run("manage.py", "migrate", "securedrop_ftp", "0014")
    run("manage.py", "migrate")
    assert run("-c", _HOW).strip() == "['as-sent'] convert"


def test_their_names_make_the_directories_above_them(shared_database: SharedDatabase) -> None:
    run = shared_database.run
    assert run("-c", _MISSING).strip() == "{False} False"
    run("manage.py", "migrate", "securedrop_ftp", "0015")
    run("manage.py", "migrate")
    assert run("-c", _MISSING).strip() == "{True} False"
