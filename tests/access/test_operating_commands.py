"""Commands that list, show, change and delete: the same on both databases, for people and scripts,
with exit codes, and with who did it in the trail."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

from securedrop_ftp.access.login import log_in
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.exceptions import LoginFailed
from securedrop_ftp.management.commands import partner_set
from securedrop_ftp.management.shown import partner_row
from securedrop_ftp.models import Account, AuditEvent, Partner, Upload
from tests.access.test_commands import _run
from tests.fixtures.databases import SharedDatabase
from tests.fixtures.processes import ROOT

ME = pwd.getpwuid(os.getuid()).pw_name


def changes() -> list[str]:
    """The reasons of what operators changed, in order."""
    rows = AuditEvent.objects.filter(event__endswith=".changed").order_by("seq")
    return list(rows.values_list("reason", flat=True))


class Shell:
    """``manage.py`` over a database, as scripts run it."""

    def __init__(self, database: SharedDatabase) -> None:
        self.database = database

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            input=stdin,
            env=self.database.env,
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--format", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(shared_database: SharedDatabase) -> Shell:
    return Shell(shared_database)


def test_a_partner_lives_by_commands_alone(shell: Shell) -> None:
    assert shell("partner_create", "wayne", "--mode", "dropbox")[0] == 0
    code, password, _ = shell("account_create", "wayne", "bruce", "--generate-password")
    assert code == 0
    assert "wayne" in [row["name"] for row in shell.json("partner_list")]
    row = shell.json(
        "partner_set", "wayne", "--mode", "exchange", "--max-sessions", "3",
        "--max-file-size", "1000", "--tls-session-reuse", "off", "--ascii", "refuse",
        "--accept-missing-close-notify", "on", "--create-directories", "on",
        "--append", "on",
    )  # fmt: skip
    assert (row["mode"], row["max_sessions"], row["max_file_size"]) == ("exchange", 3, 1000)
    assert row == shell.json("partner_show", "wayne")
    assert row["tls_session_reuse"] is False
    assert (row["ascii"], row["accept_missing_close_notify"]) == ("refuse", True)
    assert (row["create_directories"], row["append"]) == (True, True)
    rules = shell.json("partner_rules", "wayne", "add", "allow", "198.51.100.0/24")
    assert rules == [{"action": "allow", "network": "198.51.100.0/24", "note": ""}]
    account = shell.json("account_set", "bruce", "--permissions", "upload,list", "--enabled", "off")
    assert (account["permissions"], account["enabled"]) == (["list", "upload"], False)
    assert account in shell.json("account_list", "--partner", "wayne")
    code, fresh, _ = shell("account_set", "bruce", "--generate-password")
    assert code == 0
    assert fresh != password
    assert shell("partner_delete", "wayne")[0] == 1
    told = shell.json("partner_delete", "wayne", "--yes")
    assert "1 accounts" in told["deleted"]
    assert "files under wayne/ in storage default" in told["stays"]
    assert shell("partner_show", "wayne")[0] == shell("account_show", "bruce")[0] == 1
    assert shell("partner_delete", "wayne", "--yes", "--if-exists")[0] == 0
    _, export, _ = shell("audit_export", "--event", "partner.changed", "--partner", "wayne")
    reasons = [json.loads(line)["reason"] for line in export.splitlines()]
    assert len(reasons) == 4
    assert all(f"by {ME} (command)" in reason for reason in reasons)
    assert shell("audit_verify")[0] == 0


@pytest.mark.django_db
def test_what_changes_nothing_writes_nothing(account: Account) -> None:
    before = changes()
    assert "nothing was changed" in _run("partner_set", "acme", "--mode", "drop")[1]
    assert "nothing was changed" in _run("account_set", "alice", "--enabled", "on")[1]
    _run("partner_rules", "acme", "remove", "deny", "192.0.2.1")
    assert changes() == before
    for _ in range(2):
        _run("partner_rules", "acme", "add", "deny", "192.0.2.1")
    assert len(changes()) == len(before) + 1
    assert Partner.objects.get().ip_rules.count() == 1


@pytest.mark.django_db
def test_the_trail_says_from_what_to_what_and_who(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.delenv("SUDO_USER", raising=False)
    _run("partner_set", "acme", "--mode", "exchange", "--resume-window", "60")
    assert changes()[-1] == (
        f"changed by {ME} (command): mode: drop → exchange; resume_window: - → 60"
    )


@pytest.mark.django_db
def test_a_password_is_set_by_command_and_shown_nowhere_else(account: Account) -> None:
    out, err = _run("account_set", "alice", "--password-stdin", stdin="a-brand-new-password\n")
    assert "password changed" in err
    assert log_in("alice", "a-brand-new-password", remote_ip="192.0.2.1", session="")
    with pytest.raises(LoginFailed):
        log_in("alice", "a-long-enough-password", remote_ip="192.0.2.1", session="")
    assert "a-brand-new-password" not in out + err + repr(list(AuditEvent.objects.values()))


@pytest.mark.django_db
def test_a_user_with_a_life_of_its_own_gets_an_account_and_outlives_it(partner: Partner) -> None:
    User.objects.create_user("customer", password="of-the-shop-alone")
    User.objects.create_user("boss", is_staff=True)
    _run("account_create", "acme", "--user", "customer")
    with pytest.raises(CommandError, match="one of the staff"):
        _run("account_create", "acme", "--user", "boss")
    with pytest.raises(CommandError, match="was there before this account"):
        _run("account_set", "customer", "--generate-password")
    with pytest.raises(CommandError, match="its user stays"):
        _run("account_delete", "customer")
    out, _ = _run("account_delete", "customer", "--yes")
    assert "These stay: user customer" in out
    assert User.objects.get(username="customer").check_password("of-the-shop-alone")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["partner_show", "acmee"], "There is no partner “acmee”. Did you mean “acme”"),
        (["account_show", "alicee"], "There is no account “alicee”. Did you mean “alice”"),
        (["account_list", "--partner", "nosuch"], "There is no partner “nosuch”"),
        (["partner_set", "acme", "--max-sessions", "0"], "max_sessions: Ensure this value"),
        (["partner_set", "acme", "--storage", "tape"], "storage: No storage “tape” in STORAGES"),
        (["partner_set", "acme", "--rename", "a/b"], "name: Use letters, digits"),
        (["partner_set", "acme", "--enabled", "perhaps"], "neither on nor off"),
        (["partner_set", "acme", "--max-file-size", "big"], "neither a whole number nor “none”"),
        (["account_set", "alice", "--permissions", "fly"], "permissions: 'fly': not given by mode"),
        (["account_set", "alice", "--sub-prefix", "../x"], "sub_prefix: "),
        (["account_set", "alice", "--fingerprints", "/nowhere"], "Cannot read /nowhere"),
        (["partner_rules", "acme", "add", "allow", "10.0.0.0/33"], "network: “10.0.0.0/33” is not"),
        (["partner_rules", "acme", "add"], "add which rule"),
        (["account_create", "acme", "--generate-password"], "Name the login once"),
        (["account_create", "acme", "--user", "nobody"], "There is no user “nobody”"),
        (["account_delete", "alice"], "Say --yes"),
        (["partner_delete", "acme"], "files under acme/ in storage default"),
    ],
)
def test_an_error_names_the_field_and_the_mend(
    account: Account, arguments: list[str], says: str
) -> None:
    before = changes()
    with pytest.raises(CommandError, match=re.escape(says)):
        _run(*arguments)
    assert changes() == before
    assert Account.objects.count() == 1


@pytest.mark.django_db
def test_a_prefix_that_holds_files_moves_only_when_told_to(settings: Any, tmp_path: Path) -> None:
    local = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {
        "default": local | {"OPTIONS": {"location": str(tmp_path / "here")}},
        "cold": local | {"OPTIONS": {"location": str(tmp_path / "cold")}},
    }
    partner = create_partner("test", name="acme")
    account = create_account(partner, "alice", "a-long-enough-password", "test")
    _run("partner_set", "acme", "--prefix", "first")  # nothing is there yet
    file = tmp_path / "here" / "first" / "in" / "a.txt"  # perhaps not by us: the ledger has no row
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a")
    for move in (["--prefix", "elsewhere"], ["--storage", "cold"]):
        with pytest.raises(CommandError, match=r"holds files, .* With --yes"):
            _run("partner_set", "acme", *move)
    _run("partner_set", "acme", "--prefix", "first", "--storage", "default")  # as it was
    _run("partner_set", "acme", "--prefix", "elsewhere", "--yes")
    assert Partner.objects.get().prefix == "elsewhere/"
    Upload.objects.create(
        partner=partner, account=account, username="alice", storage="default",
        key="elsewhere/a", path="/a", state="receiving",
    )  # fmt: skip
    with pytest.raises(CommandError, match="uploads that are not finished"):
        _run("partner_set", "acme", "--prefix", "third")
    with pytest.raises(CommandError, match="1 upload of “acme” is running"):
        _run("partner_delete", "acme", "--yes")
    assert (Partner.objects.count(), Account.objects.count()) == (1, 1)


OURS = sorted(n for n, app in get_commands().items() if str(app).startswith("securedrop_ftp"))
PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text()


def test_each_field_of_a_partner_is_set_by_a_command_and_shown(partner: Partner) -> None:
    of_other_commands = {"client_certificates", "client_ca", "client_fingerprints", "client_crl"}
    fields = {f.name for f in Partner._meta.get_fields() if f.concrete and f.editable}
    settable = {partner_set.FIELDS.get(name, name) for name in partner_set.OPTIONS}
    assert settable == fields - of_other_commands - {"id"}
    shown = {partner_set.FIELDS.get(name, name) for name in partner_row(partner)}
    assert settable <= shown
    call_command("partner_set", partner.name, "--stall-window", "60", "--min-transfer-rate", "0")
    partner.refresh_from_db()
    assert (partner.stall_window, partner.min_transfer_rate) == (60, 0)
    call_command("partner_set", partner.name, "--stall-window", "default")
    partner.refresh_from_db()
    assert (partner.stall_window, partner.min_transfer_rate) == (None, 0)


@pytest.mark.parametrize("name", OURS)
def test_the_page_has_every_command_with_its_options_and_no_other(name: str) -> None:
    cells = re.findall(rf"^\| (`{name}\b.*?`) \| ", PAGE, re.MULTILINE)
    assert cells
    parser = load_command_class(str(get_commands()[name]), name).create_parser("", name)
    plain = BaseCommand().create_parser("", "")
    django = {option for action in plain._actions for option in action.option_strings}
    options = {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
        and option not in django | {"--skip-checks"}
        and action.help != argparse.SUPPRESS  # said by a process of ours, never by a person
    }
    assert set(re.findall(r"--[a-z-]+", " ".join(cells))) == options


def test_the_page_names_no_command_that_is_not_there() -> None:
    named = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE))
    assert named - {"check", "0", "1", "2"} == set(OURS)
