"""structlog for the whole service; bound values are the session's, once."""

from __future__ import annotations

import structlog


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A bound logger; ``name`` is the module's."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
