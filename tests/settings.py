"""Django settings of the test process itself: the project's, with nothing from outside.

Servers under test are processes of their own, with an environment made by their fixture.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile

for _name in [name for name in os.environ if name.startswith("SECUREDROP_")]:
    del os.environ[_name]

_data_dir = tempfile.mkdtemp(prefix="securedrop-tests-")
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
os.environ["SECUREDROP_DATA_DIR"] = _data_dir
os.environ["SECUREDROP_SECRET_KEY"] = secrets.token_urlsafe(64)
os.environ["SECUREDROP_STORAGE_URL"] = "memory://"

from securedrop_ftp.project.settings import *  # noqa: E402, F403
from securedrop_ftp.project.settings import DATABASES  # noqa: E402

# A file, so that threads of one test see the same database, with WAL as in service.
DATABASES["default"]["TEST"] = {"NAME": f"{_data_dir}/test.sqlite3"}

# The admin's tests speak HTTP to Django's test client.
SECURE_SSL_REDIRECT = False
