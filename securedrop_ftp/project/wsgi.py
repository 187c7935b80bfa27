"""The WSGI application: ``granian --interface wsgi securedrop_ftp.project.wsgi:application``."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "securedrop_ftp.project.settings")

try:
    application = get_wsgi_application()
except ImproperlyConfigured as exc:
    sys.exit(f"securedrop-ftp: {exc}")
