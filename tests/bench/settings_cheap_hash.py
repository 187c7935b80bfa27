"""The project's settings with a password hash that costs next to nothing: logins are measured
with hashing aside, on both sides."""

from __future__ import annotations

from securedrop_ftp.project.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
