"""Each cause is a name, two sentences and, where there is one, a command that can be run."""

from __future__ import annotations

import re
import shlex

import pytest
from django.core.management import load_command_class

from securedrop_ftp.causes import CAUSES, NOT_RESUMED, STALLED, Cause, Troubles
from tests.fixtures.processes import ROOT

PAGE = (ROOT / "docs/howto/partner-cannot-connect.md").read_text()

#: Words in capitals are the operator's to fill in.
_FILLED = {
    "N": "3",
    "BYTES": "1000",
    "MODE": "drop",
    "FILE": "pins.txt",
    "NAME": "robot",
    "{partner}": "acme",
    "{account}": "alice",
    "{address}": "192.0.2.7",
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_cause_is_a_stable_name_and_two_sentences(cause: Cause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", cause.name)
    for sentence in (cause.happened, cause.remedy):
        assert sentence[0].isupper() or sentence.startswith("“")
        assert sentence.endswith(".")
        assert len(sentence) <= 300
        assert sentence.isprintable()


@pytest.mark.parametrize("cause", [c for c in CAUSES.values() if c.command], ids=lambda c: c.name)
def test_its_command_is_understood(cause: Cause) -> None:
    for command in cause.command.split("; "):
        name, *words = shlex.split(command)
        parser = load_command_class("securedrop_ftp", name).create_parser("manage.py", name)
        parser.parse_args([_FILLED.get(word, word) for word in words])


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_the_page_for_operators_has_it(cause: Cause) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{cause.name}` |")]
    assert f"{cause.happened} {cause.remedy}" in row


def test_two_causes_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two causes"):
        Cause(STALLED.name, "Something.", "Nothing.")


def test_troubles_are_told_the_most_frequent_first() -> None:
    troubles = Troubles()
    assert not troubles
    for cause in (STALLED, NOT_RESUMED, NOT_RESUMED):
        troubles.add(cause)
    assert troubles.most_common() == [(NOT_RESUMED, 2), (STALLED, 1)]
    assert troubles.most_common(1) == [(NOT_RESUMED, 2)]
