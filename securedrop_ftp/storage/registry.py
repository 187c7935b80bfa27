"""Which backend serves which Django storage, and the backend of each ``STORAGES`` alias.

A storage is matched by its class: the first class of its MRO that is registered decides, so a
subclass of ``S3Storage`` is served by the S3 backend, and a backend registered for that subclass
goes before it. Classes may be registered by their dotted path; nothing is imported for those
(an instance of a class cannot exist before its module does), so optional SDKs stay optional::

    from securedrop_ftp.storage.registry import register

    register("acme.storage.VaultStorage", "acme.vault:VaultBackend")
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from typing import Any, Final, cast

from django.core.files.storage import InvalidStorageError, storages
from django.core.signals import setting_changed

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.protocol import Backend, BackendFactory

logger = get_logger(__name__)

_HERE: Final = __package__
_factories: dict[str | type, BackendFactory | str] = {
    "django.core.files.storage.filesystem.FileSystemStorage": (
        f"{_HERE}.filesystem.backend:FilesystemBackend"
    ),
    "django.core.files.storage.memory.InMemoryStorage": f"{_HERE}.memory:MemoryBackend",
    "storages.backends.s3.S3Storage": f"{_HERE}.s3.backend:S3Backend",
    "storages.backends.gcloud.GoogleCloudStorage": f"{_HERE}.gcs.backend:GCSBackend",
    "storages.backends.azure_storage.AzureStorage": f"{_HERE}.azure.backend:AzureBackend",
    "django.core.files.storage.base.Storage": f"{_HERE}.generic.backend:GenericBackend",
}
_backends: dict[str, Backend] = {}
_lock = threading.Lock()


def register(storage_class: type | str, factory: BackendFactory | str) -> None:
    """Serve ``storage_class`` and its subclasses by ``factory``.

    Args:
        storage_class: a class, or its dotted path.
        factory: called with the storage instance, returns a backend; or ``"module:name"``.
    """
    _factories[storage_class] = factory


def factory_for(storage: Any) -> BackendFactory:
    """The factory of the first registered class in the storage's MRO.

    Raises:
        ConfigurationError: there is none, or its module cannot be imported.
    """
    known = {cls: factory for name, factory in _factories.items() if (cls := _class_of(name))}
    for cls in type(storage).__mro__:
        if cls in known:
            return _load(known[cls])
    raise ConfigurationError(
        f"No storage backend is registered for {type(storage).__qualname__}: it is not a Django "
        "Storage. Register one with securedrop_ftp.storage.registry.register()."
    )


def backend_for(alias: str) -> Backend:
    """The backend of ``STORAGES[alias]``: one for each process, made at its first use there.

    Raises:
        ConfigurationError: no such alias, or its storage cannot be made.
    """
    backend = _backends.get(alias)
    if backend is None:
        with _lock:
            backend = _backends.get(alias)
            if backend is None:
                backend = _backends[alias] = _make(alias)
    return backend


def reset() -> None:
    """Forget every backend (settings changed). The next use makes new ones."""
    with _lock:
        dropped = list(_backends.values())
        _backends.clear()
    for backend in dropped:
        try:
            backend.close()
        except Exception as exc:
            logger.warning("storage.backend.not_closed", backend=backend.name, exc_info=exc)


def _make(alias: str) -> Backend:
    try:
        storage = storages[alias]
    except InvalidStorageError as exc:
        raise ConfigurationError(f"STORAGES[“{alias}”] cannot be used: {exc}") from exc
    return factory_for(storage)(storage)


def _class_of(name: str | type) -> type | None:
    if isinstance(name, type):
        return name
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def _load(factory: BackendFactory | str) -> BackendFactory:
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    try:
        return cast(BackendFactory, getattr(import_module(module), attribute))
    except ImportError as exc:
        raise ConfigurationError(
            f"The storage backend {factory} needs a package that is not installed: {exc}."
        ) from exc


def _after_fork() -> None:
    # Clients, sockets and locks of the parent are not ours to use or to close.
    global _lock
    _lock = threading.Lock()
    _backends.clear()


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("STORAGES", "MEDIA_ROOT", "SECUREDROP"):
        reset()


os.register_at_fork(after_in_child=_after_fork)
setting_changed.connect(_on_setting_changed, dispatch_uid="securedrop_ftp.storage.registry")
