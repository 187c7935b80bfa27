"""Times as an operator compares them with logs: ISO, UTC, to the second, never broken in two."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.html import format_html


def utc(time: datetime | None) -> str:
    """``2026-11-23 06:31:00``; ``-`` for none."""
    if time is None:
        return "-"
    shown = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return format_html('<span class="securedrop-time">{}</span>', shown)
