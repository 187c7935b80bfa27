"""User names and passwords as clients send them, made safe before the database sees them."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model

from securedrop_ftp.escaping import escape

MAX_USERNAME: Final = 255  # characters; PostgreSQL raises beyond its column

MAX_PASSWORD_BYTES: Final = 1024

#: What rows show for an empty name. No user can be called that.
EMPTY: Final = "(empty)"


def clean_username(username: str) -> tuple[str | None, str]:
    """``(name, shown)``: the name to look up, ``None`` where no user can be called that (NUL,
    control characters, lone surrogates, over-long), and the text to count and to show it by.

    The name is normalised (NFKC) as Django does on creation, so that the spellings of one name
    share one counter.
    """
    shown = escape(username, MAX_USERNAME) or EMPTY
    if not username or len(username) > MAX_USERNAME or not username.isprintable():
        return None, shown
    name: str = get_user_model().normalize_username(username)
    if len(name) > MAX_USERNAME or not name.isprintable():
        return None, shown
    return name, escape(name, MAX_USERNAME)


def password_fits(password: str) -> bool:
    """Whether an account can have that password at all: at most 1 KiB of UTF-8, no NUL, not
    empty."""
    if not password or len(password) > MAX_PASSWORD_BYTES or "\0" in password:
        return False
    if not is_utf8(password):
        return False
    return len(password.encode()) <= MAX_PASSWORD_BYTES


def is_utf8(text: str) -> bool:
    """Whether what the client sent was UTF-8 (RFC 2640 §2.1): lone surrogates stand for bytes that
    were not."""
    return not any("\ud800" <= char <= "\udfff" for char in text)
