"""How values are shown in lists.

Times as an operator compares them with logs: ISO, UTC, to the second, never broken in two. Outcomes
and states as words on a colour that says whether to look closer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.utils.html import format_html

#: Outcomes and states of uploads: well, under way, not well, refused.
_KINDS: Final = {
    "success": "good",
    "committed": "good",
    "receiving": "busy",
    "publishing": "busy",
    "suspended": "busy",
    "failure": "bad",
    "aborted": "bad",
    "denied": "refused",
}


def utc(time: datetime | None) -> str:
    """``2026-11-23 06:31:00``; ``-`` for none."""
    if time is None:
        return "-"
    shown = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return format_html('<span class="securedrop-time">{}</span>', shown)


def tag(word: str) -> str:
    """An outcome or a state."""
    kind = _KINDS.get(word, "busy")
    return format_html('<span class="securedrop-tag securedrop-{}">{}</span>', kind, word)
