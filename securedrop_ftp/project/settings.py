"""The ready-to-run project's Django settings, made from ``SECUREDROP_…`` variables.

This is the only module that reads the environment. ``docs/reference/settings.md`` lists every
variable; ``manage.py check --deploy`` judges the result.
"""

from __future__ import annotations

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from securedrop_ftp.project.environment import Environment, trusted_origins
from securedrop_ftp.project.logging import configure_structlog, logging_config
from securedrop_ftp.project.storage_urls import storage_entry

_env = Environment(os.environ)
_package_parent = Path(__file__).resolve().parents[2]

#: Beside ``manage.py`` in a checkout; else where the command is run.
BASE_DIR = _package_parent if (_package_parent / "manage.py").exists() else Path.cwd()
DATA_DIR = Path(_env.text("DATA_DIR", str(BASE_DIR / "var"))).absolute()

DEBUG = False
SECRET_KEY = _env.text("SECRET_KEY")  # empty: check securedrop.E010 says what to do

# --- applications -----------------------------------------------------------------------

INSTALLED_APPS = [
    "securedrop_ftp.project.users",  # its commands go before Django's of the same name
    "securedrop_ftp.project.admin_apps.SecureAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "securedrop_ftp",
    "securedrop_ftp.project",
]

MIDDLEWARE = [
    "securedrop_ftp.project.health.HealthPages",
    "securedrop_ftp.project.middleware.CanonicalAddress",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "securedrop_ftp.project.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "securedrop_ftp.project.urls"
WSGI_APPLICATION = "securedrop_ftp.project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).with_name("templates")],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = "UTC"

# --- database and cache -----------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, dj_database_url.UnknownSchemeError) as exc:
        raise ImproperlyConfigured(
            "SECUREDROP_DATABASE_URL is not understood: write sqlite:///path/to/file or "
            "postgres://user:password@host:port/name."
        ) from exc
    options = entry.setdefault("OPTIONS", {})
    if entry["ENGINE"].endswith("sqlite3"):
        # One writer at a time, which waits its turn; committed means on the disk.
        options.setdefault("timeout", 20)
        options.setdefault("transaction_mode", "IMMEDIATE")
        options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        # Kept open: the last one that is closed checkpoints and removes the log (sqlite.org/wal),
        # which happened for every job (docs/adr/0008).
        entry["CONN_MAX_AGE"] = 600
    elif entry["ENGINE"].endswith("postgresql"):
        if not any(find_spec(driver) for driver in ("psycopg", "psycopg2")):
            raise ImproperlyConfigured(
                "SECUREDROP_DATABASE_URL names PostgreSQL, whose driver is not installed: "
                "pip install 'securedrop_ftp[postgres]'."
            )
        options.setdefault("connect_timeout", 5)
        # A server that is silent rather than gone (a pulled cable) is given up within 25 seconds;
        # what the URL's query says goes before.
        for name, value in (
            ("keepalives_idle", 10),
            ("keepalives_interval", 5),
            ("keepalives_count", 3),
            ("tcp_user_timeout", 15_000),
        ):
            options.setdefault(name, value)
        entry |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
    return entry


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ImproperlyConfigured(
            f"The data directory {directory} cannot be made: {exc.strerror}. "
            "Set SECUREDROP_DATA_DIR to one that can."
        ) from exc
    return directory


_database_url = _env.text("DATABASE_URL")
DATABASES = {
    "default": _database(_database_url or f"sqlite:///{_made(DATA_DIR) / 'securedrop.sqlite3'}")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _cache(url: str) -> dict[str, Any]:
    if not url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    if url.startswith(("redis://", "rediss://", "unix://")):
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    raise ImproperlyConfigured("SECUREDROP_CACHE_URL is not understood: write redis://host:6379/0.")


CACHES = {"default": _cache(_env.text("CACHE_URL"))}

# --- storage ----------------------------------------------------------------------------

_azure_credentials = {
    "account": os.environ.get("AZURE_STORAGE_ACCOUNT", ""),
    "key": os.environ.get("AZURE_STORAGE_KEY", ""),
    "sas_token": os.environ.get("AZURE_STORAGE_SAS_TOKEN", ""),
    "connection_string": os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""),
}

STORAGES = {
    "default": storage_entry(
        _env.text("STORAGE_URL", f"file://{DATA_DIR / 'storage'}"), _azure_credentials
    ),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step: the admin's files come from its package

# --- the admin site ---------------------------------------------------------------------

#: Where the demo serves the admin site (``host:port``, HTTPS).
WEB_BIND = _env.text("WEB_BIND", "127.0.0.1:8443")

ALLOWED_HOSTS = [
    host.strip()
    for host in _env.text("WEB_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
    if host.strip()
]

if _env.flag("WEB_BEHIND_PROXY"):
    # Only behind a proxy that sets these headers itself and drops the client's.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    MIDDLEWARE.insert(0, "securedrop_ftp.project.middleware.ClientAddress")

#: Where the browser's address is another than the one in the request's Host: behind a proxy that
#: does not pass its port on.
CSRF_TRUSTED_ORIGINS = trusted_origins(_env.text("WEB_TRUSTED_ORIGINS"))

SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 365 * 86400
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_NAME = "securedrop_session"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"

# Whether HSTS covers subdomains and the preload list is the domain owner's to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- logging in -------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]

PASSWORD_HASHERS = [
    "securedrop_ftp.access.hashers.Argon2id",  # the only one of “argon2”: it bounds every hash
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

#: Whether the admin site takes only operators with a second factor (``admin_totp``).
ADMIN_REQUIRE_TOTP = _env.flag("ADMIN_REQUIRE_TOTP")
OTP_TOTP_ISSUER = "Secure file drop"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True  # no key and no QR code in admin: admin_totp shows it once

# --- the service ------------------------------------------------------------------------

SECUREDROP: dict[str, Any] = {
    **_env.conf(),
    "DATA_DIR": DATA_DIR,
}

# Security bar, row 28: axes' database handler over our lockout, which counts before it checks;
# by user and address and by address, with a cool-off that a further try does not prolong.
AXES_HANDLER = "securedrop_ftp.access.axes_handler.LockoutHandler"
AXES_FAILURE_LIMIT = SECUREDROP.get("LOCKOUT_USER_IP_LIMIT", 5)
AXES_COOLOFF_TIME = timedelta(minutes=30)
if isinstance(SECUREDROP.get("LOCKOUT_SECONDS"), float):
    AXES_COOLOFF_TIME = timedelta(seconds=SECUREDROP["LOCKOUT_SECONDS"])
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# Our handler forgets the failures of who logged in; axes would forget all of the address.
AXES_RESET_ON_SUCCESS = False
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_DISABLE_ACCESS_LOG = True  # our audit trail holds every login
AXES_VERBOSE = False
# Lockouts have one page (admin/lockout.py), and the audit trail holds every attempt.
AXES_ENABLE_ADMIN = False

# --- logging ----------------------------------------------------------------------------

configure_structlog()
LOGGING = logging_config(_env.text("LOG_FORMAT"))
