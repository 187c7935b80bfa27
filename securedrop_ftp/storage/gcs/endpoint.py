"""``GoogleCloudStorage`` at another address than Google's: an emulator, a private endpoint.

django-storages' ``custom_endpoint`` is for the URLs it makes, its client always goes to Google (or
to ``STORAGE_EMULATOR_HOST``, for the whole process).
"""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from storages.backends.gcloud import GoogleCloudStorage


class GoogleCloudStorageAt(GoogleCloudStorage):  # type: ignore[misc]
    """Its client speaks to ``custom_endpoint``; over plain HTTP without credentials."""

    @property
    def client(self) -> Any:
        """The client, made once."""
        client: Any = self._client  # type: ignore[has-type]
        if client is None:
            endpoint = str(self.custom_endpoint)
            credentials = self.credentials
            if credentials is None and endpoint.startswith("http://"):
                credentials = AnonymousCredentials()
            client = self._client = Client(
                project=self.project_id or "-",
                credentials=credentials,
                client_options={"api_endpoint": endpoint},
            )
        return client
