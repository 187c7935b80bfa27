"""The migration that says which accounts made their users, on databases with old rows."""

from __future__ import annotations

import json

from tests.fixtures.databases import SharedDatabase

BEFORE = "0003"

_SHELL = "import django; django.setup()\nfrom django.contrib.auth.models import Group, User\n"

#: Each of the cast becomes somebody else's; alice stays as she was made.
_LIVES = (
    _SHELL
    + """
from datetime import timedelta
User.objects.filter(username='bob').update(email='bob@shop.example')
User.objects.filter(username='carol').update(is_staff=True)
dave = User.objects.get(username='dave')
User.objects.filter(pk=dave.pk).update(date_joined=dave.date_joined - timedelta(days=1))
User.objects.get(username='erin').groups.add(Group.objects.create(name='customers'))
"""
)

_WHO = (
    _SHELL
    + """
import json
from securedrop_ftp.models import Account
print(json.dumps({a.username: a.owns_user for a in Account.objects.all()}))
"""
)


def test_only_users_beyond_doubt_are_their_accounts_own(shared_database: SharedDatabase) -> None:
    run = shared_database.run
    run("manage.py", "migrate", "securedrop_ftp", BEFORE)
    run("-c", _LIVES)
    run("manage.py", "migrate")
    assert json.loads(run("-c", _WHO)) == {
        "alice": True,
        "bob": False,  # has an e-mail address
        "carol": False,  # is one of the staff
        "dave": False,  # was there before
        "erin": False,  # has a group
    }
