"""One C callback for all contexts.

pyOpenSSL makes a new one for each context. It refers to itself, so it outlives its context until
the garbage collector's next full run, 1.5 KiB a connection: a million connections that came and
went held a gigabyte (seen). There is a context for every control connection here, and every one has
the same callbacks; like :mod:`.groups` this goes below pyOpenSSL's surface.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from OpenSSL import SSL


def set_alpn_selection(
    context: SSL.Context, select: Callable[[SSL.Connection, list[bytes]], bytes]
) -> None:
    """:meth:`OpenSSL.SSL.Context.set_alpn_select_callback`, for a function of a module."""
    made: Any = context
    made._alpn_select_helper = _helper("_ALPNSelectHelper", select)
    made._alpn_select_callback = made._alpn_select_helper.callback
    library: Any = SSL
    library._lib.SSL_CTX_set_alpn_select_cb(
        made._context, made._alpn_select_callback, library._ffi.NULL
    )


def set_verification(context: SSL.Context, mode: int, verify: Callable[..., bool]) -> None:
    """:meth:`OpenSSL.SSL.Context.set_verify`, for a function of a module."""
    made: Any = context
    made._verify_helper = _helper("_VerifyHelper", verify)
    made._verify_callback = made._verify_helper.callback
    library: Any = SSL
    library._lib.SSL_CTX_set_verify(made._context, mode, made._verify_callback)


def set_info(context: SSL.Context, notice: Callable[[SSL.Connection, int, int], None]) -> None:
    """:meth:`OpenSSL.SSL.Context.set_info_callback`, for a function of a module."""
    made: Any = context
    made._info_callback = _info_callback(notice)
    library: Any = SSL
    library._lib.SSL_CTX_set_info_callback(made._context, made._info_callback)


@cache
def _info_callback(notice: Callable[..., None]) -> Any:
    model: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
    model.set_info_callback(notice)
    return model._info_callback


@cache
def _helper(kind: str, function: Callable[..., Any]) -> Any:
    return getattr(SSL, kind)(function)
