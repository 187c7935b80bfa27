"""Storage URLs to entries of Django's STORAGES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage
from django.utils.module_loading import import_string

from securedrop_ftp.project.storage_urls import storage_entry


@pytest.mark.parametrize(
    ("url", "backend", "options"),
    [
        ("file:///srv/in%20coming", "FileSystemStorage", {"location": "/srv/in coming"}),
        ("memory://", "InMemoryStorage", {}),
        ("s3://bucket", "S3Storage", {"bucket_name": "bucket"}),
        (
            "s3://bucket/a/b/?endpoint_url=https://h:1&region=r&addressing_style=path",
            "S3Storage",
            {
                "bucket_name": "bucket",
                "location": "a/b",
                "endpoint_url": "https://h:1",
                "region_name": "r",
                "addressing_style": "path",
            },
        ),
        ("gs://bucket", "GoogleCloudStorage", {"bucket_name": "bucket"}),
        (
            "gs://bucket/p?project=x&endpoint_url=http://h:2",
            "GoogleCloudStorageAt",
            {
                "bucket_name": "bucket",
                "location": "p",
                "project_id": "x",
                "custom_endpoint": "http://h:2",
            },
        ),
        (
            "azure://box/p?account=me",
            "AzureStorage",
            {"azure_container": "box", "location": "p", "account_name": "me"},
        ),
    ],
)
def test_a_url_becomes_an_entry_that_django_can_make(
    url: str, backend: str, options: dict[str, Any]
) -> None:
    entry = storage_entry(url)
    assert entry["BACKEND"].endswith(backend)
    assert entry.get("OPTIONS", {}) == options
    made = import_string(entry["BACKEND"])(**entry.get("OPTIONS", {}))
    assert isinstance(made, Storage)


def test_azure_takes_its_credentials_from_beside_the_url() -> None:
    entry = storage_entry("azure://box", {"account": "me", "key": "k", "sas_token": ""})
    assert entry["OPTIONS"] == {
        "azure_container": "box",
        "account_name": "me",
        "account_key": "k",
    }


def test_azure_with_an_endpoint_becomes_a_connection_string() -> None:
    entry = storage_entry(
        "azure://box?endpoint_url=http://127.0.0.1:10000/me", {"account": "me", "key": "k"}
    )
    assert "BlobEndpoint=http://127.0.0.1:10000/me;" in entry["OPTIONS"]["connection_string"]


def test_verify_names_a_file(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    assert storage_entry(f"s3://b?verify={ca}")["OPTIONS"]["verify"] == str(ca)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a scheme"),
        ("ftp://x", "not a scheme"),
        ("file://relative/path", "three slashes"),
        ("s3:///prefix", "name the bucket"),
        ("s3://b?regoin=x", "'regoin' is not an option"),
        ("s3://b?verify=/no/such/file", "is not a file"),
        ("s3://b?addressing_style=sideways", "is not auto, path or virtual"),
        ("s3://key:secret@b/p", "credentials do not belong in it"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as caught:
        storage_entry(url)
    assert "secret" not in str(caught.value)
