"""``SECUREDROP_STORAGE_URL`` to an entry of Django's ``STORAGES``.

``file:///path``, ``memory://``, ``s3://bucket/prefix?…``, ``gs://bucket/prefix?…`` and
``azure://container/prefix?…``. Credentials come the usual way of each SDK, never in the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

Entry = dict[str, Any]

#: Query names to option names of the storage classes (django-storages 1.14).
S3_OPTIONS = {
    "endpoint_url": "endpoint_url",
    "region": "region_name",
    "addressing_style": "addressing_style",
    "verify": "verify",
    "signature_version": "signature_version",
    "profile": "session_profile",
}
GCS_OPTIONS = {"endpoint_url": "custom_endpoint", "project": "project_id"}
AZURE_OPTIONS = {
    "account": "account_name",
    "endpoint_url": "endpoint_url",
    "endpoint_suffix": "endpoint_suffix",
}


def storage_entry(url: str, azure: Mapping[str, str] | None = None) -> Entry:
    """The ``STORAGES`` entry of a URL.

    Args:
        url: see the module's docstring.
        azure: Azure's credentials, as ``account``, ``key``, ``sas_token`` or
            ``connection_string``; its SDK has no environment of its own for them.

    Raises:
        ImproperlyConfigured: a scheme, option or path that does not fit, in a sentence.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise _wrong("credentials do not belong in it; give them the usual way of the SDK")
    if parts.scheme == "azure":
        return _azure(parts, azure or {})
    make = _SCHEMES.get(parts.scheme)
    if make is None:
        if url.startswith("/"):
            raise _wrong(f"write file://{url}")
        known = ", ".join(f"{name}://" for name in [*_SCHEMES, "azure"])
        raise _wrong(f"{parts.scheme or url!r} is not a scheme that is known here: {known}")
    return make(parts)


def _file(parts: SplitResult) -> Entry:
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise _wrong("write file:///absolute/path, with three slashes")
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": path},
    }


def _memory(parts: SplitResult) -> Entry:
    return {"BACKEND": "django.core.files.storage.InMemoryStorage"}


def _s3(parts: SplitResult) -> Entry:
    options = _bucket(parts, "bucket_name") | _options(parts, S3_OPTIONS)
    verify = options.get("verify")
    if verify is not None and not Path(verify).is_file():
        raise _wrong(f"verify={verify} is not a file; it names the CA's certificate (PEM)")
    style = options.get("addressing_style", "auto")
    if style not in ("auto", "path", "virtual"):
        raise _wrong(f"addressing_style={style} is not auto, path or virtual")
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def _gcs(parts: SplitResult) -> Entry:
    options = _bucket(parts, "bucket_name") | _options(parts, GCS_OPTIONS)
    backend = "storages.backends.gcloud.GoogleCloudStorage"
    if "custom_endpoint" in options:  # which that class uses for URLs only
        backend = "securedrop_ftp.storage.gcs.endpoint.GoogleCloudStorageAt"
    return {"BACKEND": backend, "OPTIONS": options}


def _azure(parts: SplitResult, credentials: Mapping[str, str]) -> Entry:
    options = _bucket(parts, "azure_container") | _options(parts, AZURE_OPTIONS)
    account = options.pop("account_name", "") or credentials.get("account", "")
    key = credentials.get("key", "")
    endpoint = options.pop("endpoint_url", "")
    if endpoint and account and key:
        scheme = urlsplit(endpoint).scheme
        options["connection_string"] = (
            f"DefaultEndpointsProtocol={scheme};AccountName={account};AccountKey={key};"
            f"BlobEndpoint={endpoint};"
        )
    elif credentials.get("connection_string"):
        options["connection_string"] = credentials["connection_string"]
    given = {"account_name": account, "account_key": key}
    given["sas_token"] = credentials.get("sas_token", "")
    options |= {name: value for name, value in given.items() if value}
    return {"BACKEND": "storages.backends.azure_storage.AzureStorage", "OPTIONS": options}


_SCHEMES: dict[str, Callable[[SplitResult], Entry]] = {
    "file": _file,
    "memory": _memory,
    "s3": _s3,
    "gs": _gcs,
}


def _bucket(parts: SplitResult, option: str) -> dict[str, Any]:
    if not parts.netloc:
        raise _wrong(f"name the bucket: {parts.scheme}://bucket/prefix")
    options = {option: parts.netloc}
    location = unquote(parts.path).strip("/")
    if location:
        options["location"] = location
    return options


def _options(parts: SplitResult, known: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            names = ", ".join(sorted(known))
            raise _wrong(f"{name!r} is not an option of {parts.scheme}://, which takes {names}")
        options[known[name]] = value
    return options


def _wrong(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"SECUREDROP_STORAGE_URL: {what}.")
