"""FTPS-first secure file drop: partner files over explicit TLS into object storage.

The package is a reusable Django app (``INSTALLED_APPS += ["securedrop_ftp"]``) and,
through :mod:`securedrop_ftp.project`, a service that is ready to run.
"""

from __future__ import annotations

__version__ = "0.1.0"
