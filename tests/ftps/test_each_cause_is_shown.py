"""No cause without a test over a socket: ``causes.NAME`` stands in one of the files below, or here
with the reason why it cannot be brought about."""

from __future__ import annotations

import re
from typing import Final

from securedrop_ftp import causes
from securedrop_ftp.causes import CAUSES, Cause
from tests.fixtures.processes import ROOT

#: The files that bring causes about, each by a client over a socket.
SHOWN_IN: Final = sorted((ROOT / "tests/ftps").glob("test_why_not*.py"))

#: Name to the reason.
NOT_SHOWN: Final[dict[str, str]] = {}


def _constants() -> dict[str, str]:
    """The name in :mod:`securedrop_ftp.causes` of each cause."""
    return {value.name: name for name, value in vars(causes).items() if isinstance(value, Cause)}


def test_each_cause_is_brought_about_over_a_socket() -> None:
    text = "".join(path.read_text() for path in SHOWN_IN)
    shown = set(re.findall(r"\bcauses\.([A-Z_]+)\b", text))
    constants = _constants()
    missing = {name for name in CAUSES if constants.get(name) not in shown}
    assert missing == set(NOT_SHOWN), "each needs a test in tests/ftps/test_why_not_*.py"
