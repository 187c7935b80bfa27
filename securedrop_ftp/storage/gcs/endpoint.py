"""``GoogleCloudStorage`` at another address than Google's: an emulator, a private endpoint.

django-storages' ``custom_endpoint`` is for the URLs it makes, its client always goes to Google (or
to ``STORAGE_EMULATOR_HOST``, for the whole process).
"""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from storages.backends.gcloud import GoogleCloudStorage

from securedrop_ftp.storage.django_storages import keep_google_client, kept_google_client


class GoogleCloudStorageAt(GoogleCloudStorage):  # type: ignore[misc]
    """Its client speaks to ``custom_endpoint``; over plain HTTP without credentials."""

    @property
    def client(self) -> Any:
        """The client for ``custom_endpoint``; made at the first use."""
        client = kept_google_client(self)
        if client is None:
            endpoint = str(self.custom_endpoint)
            credentials = self.credentials
            if credentials is None and endpoint.startswith("http://"):
                credentials = AnonymousCredentials()
            client = Client(
                project=self.project_id or "-",
                credentials=credentials,
                client_options={"api_endpoint": endpoint},
            )
            keep_google_client(self, client)
        return client
