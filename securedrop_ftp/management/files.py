"""Files that an option names."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError


def text_of(path: str) -> str:
    """Its text, UTF-8; raises CommandError where it cannot be read."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"Cannot read {path}: {exc}.") from exc
