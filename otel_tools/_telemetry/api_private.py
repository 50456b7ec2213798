"""What this package uses of the OpenTelemetry API beyond its documented names. No other file of ``_telemetry`` does.

- ``opentelemetry._logs`` is the API's own path for logs, documented although it begins with an underscore.
- ``_SUPPRESS_INSTRUMENTATION_KEY`` has no public name. The SDK sets it in the context while it exports.
- ``attach`` returns a `contextvars.Token` with the API's default context, whose ``var`` is public in the standard
  library. A context implementation of the application's own may return something else.

``tests/telemetry/test_api_private.py`` fails with the name that a new release moves.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

from opentelemetry import context as context_api
from opentelemetry._logs import LoggerProvider, SeverityNumber, get_logger
from opentelemetry.context import detach, get_current

from otel_tools._call.safe_logging import log_safely

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

__all__ = ["LoggerProvider", "SeverityNumber", "detach_silently", "get_logger", "is_suppressed"]

logger = logging.getLogger("otel_tools")

_SUPPRESS_KEY: Final = "_SUPPRESS_INSTRUMENTATION_KEY"


def is_suppressed() -> bool:
    """Whether the SDK exports in this context, so that what happens now must not become telemetry."""
    key = _suppress_key()
    return key is not None and bool(get_current().get(key))


@cache
def _suppress_key() -> str | None:
    key: str | None = getattr(context_api, _SUPPRESS_KEY, None)
    if key is None:
        log_safely(
            logger,
            logging.WARNING,
            "opentelemetry.context.%s is gone: what libraries log while telemetry is exported is exported too",
            _SUPPRESS_KEY,
        )
    return key


def detach_silently(token: Token[Context]) -> None:
    """Restore the context that was current before `attach` returned this token.

    Unlike `opentelemetry.context.detach` this logs nothing where there is nothing to restore: the garbage collector
    may close a coroutine or generator in another context than it ran in.
    """
    try:
        token.var.reset(token)
    except ValueError:
        pass
    except AttributeError:
        # A context implementation of the application's own, whose tokens are not those of contextvars.
        detach(token)
