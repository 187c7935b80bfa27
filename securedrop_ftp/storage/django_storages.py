"""django-storages below its surface, and the clients beneath it: the only file that touches their
private parts.

A storage of django-storages is used for its settings. Its own client is one for each thread (S3),
is shared though it is not safe for threads (Google), or was made before the fork; there is no
public way to have another one made. pyproject.toml has ceilings for what is used here, and
:func:`broken` says what a release changed (``securedrop.E029``).
"""

from __future__ import annotations

import copy
from importlib.metadata import version
from typing import Any, Final

from securedrop_ftp.exceptions import ConfigurationError

#: Attributes that are used here, by the class that has them.
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "S3Storage": ("_create_session",),
    "GoogleCloudStorage": ("_client", "_bucket"),
    "AzureStorage": ("_client", "_service_client"),
}


def broken(storage: Any) -> str:
    """What this release of django-storages lacks for ``storage``, as a sentence; else ``""``."""
    for cls in type(storage).__mro__:
        if cls.__module__.startswith("storages."):
            gone = [name for name in _NEEDED.get(cls.__name__, ()) if not hasattr(storage, name)]
            if gone:
                return (
                    f"This django-storages ({version('django-storages')}) has no "
                    f"{cls.__name__}.{gone[0]}, which its backend needs."
                )
    return ""


def boto3_session(storage: Any) -> Any:
    """A session with the credentials of an ``S3Storage``: only this method knows the choice between
    keys, profile and environment."""
    return storage._create_session()


def azure_container(storage: Any) -> Any:
    """A new container client of an ``AzureStorage``."""
    own = copy.copy(storage)
    own._service_client = own._client = None
    return own.client


def google_bucket(storage: Any) -> Any:
    """A bucket of a ``GoogleCloudStorage``, on a new client."""
    own = copy.copy(storage)
    own._client = own._bucket = None
    return own.bucket


def google_http(bucket: Any) -> Any:
    """The authorised ``requests`` session of a bucket's client.

    Raises:
        ConfigurationError: the installed client has none.
    """
    try:
        return bucket.client._http
    except AttributeError as exc:
        raise ConfigurationError(
            f"This google-cloud-storage ({version('google-cloud-storage')}) has no Client._http: "
            "install what requirements/service.txt pins, and tell us."
        ) from exc


def kept_google_client(storage: Any) -> Any:
    """The client that a ``GoogleCloudStorage`` keeps, ``None`` before the first use."""
    return storage._client


def keep_google_client(storage: Any, client: Any) -> None:
    """Have a ``GoogleCloudStorage`` keep ``client`` and use it."""
    storage._client = client
