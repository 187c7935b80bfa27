"""What stands behind the doors: see :class:`~securedrop_ftp.engine.engine.Engine`.

::

    from securedrop_ftp import engine

    engine.current().record(event)
"""

from __future__ import annotations

from securedrop_ftp.engine.engine import Engine
from securedrop_ftp.engine.process import current, install
from securedrop_ftp.engine.uploads import BlockingUpload

__all__ = ["BlockingUpload", "Engine", "current", "install"]
