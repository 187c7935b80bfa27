"""structlog and the standard library's logging, as one stream of lines on standard error.

Standard output stays free for what commands print (``ready ftps://…``, exports).
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from securedrop_ftp.escaping import escape

#: Values that hold line ends of our own making.
_MULTILINE = frozenset({"exception", "stack"})

_LONGEST = 10_000


def escape_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Control characters leave as escapes, so that no client forges a line or moves a cursor
    (security bar, row 21)."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name not in _MULTILINE:
            event[name] = escape(value, _LONGEST)
    return event


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def logging_config(log_format: str, level: str = "INFO") -> dict[str, Any]:
    """Django's ``LOGGING``. ``log_format`` is ``console``, ``json`` or ``""`` (by terminal)."""
    console = log_format == "console" or (log_format != "json" and sys.stderr.isatty())
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        # A plain traceback: the prettier ones show local variables, passwords among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        last += [escape_text, renderer]
    else:
        last += [
            structlog.processors.format_exc_info,
            escape_text,
            structlog.processors.JSONRenderer(),
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": last,
                "foreign_pre_chain": _shared(),
            }
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers (mail to admins, a second console) are not wanted.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # One line at start, one per connection that is refused: ours say it better.
            "pyftpdlib": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
        },
    }


def configure_structlog() -> None:
    """Send structlog's events through the standard library's handlers."""
    # A line tells neither the place of the call nor its thread, so a record need not either: half
    # of what it cost (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
