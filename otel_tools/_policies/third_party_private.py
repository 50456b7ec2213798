"""The names of tenacity and cachetools that their documentation does not promise, and what happens without each.

``tests/policies/test_third_party_private.py`` says which name a new release has moved. Without that name the policies
still run, and one line in the log of ``otel_tools`` says what is reduced.
"""

from __future__ import annotations

import inspect
import logging
import sys
from typing import Any, Final

from otel_tools._call.safe_logging import log_safely

__all__ = ["ignores_results", "is_async", "is_cached", "is_cachedmethod", "made_by", "retrying_of"]

logger = logging.getLogger("otel_tools")

STRATEGY_PARTS: Final = {
    "retry_any": "retries",
    "retry_all": "retries",
    "retry_if_exception": "predicate",
    "retry_if_result": "predicate",
    "retry_if_not_result": "predicate",
    "stop_any": "stops",
    "stop_all": "stops",
    "wait_combine": "wait_funcs",
    "wait_chain": "strategies",
    "wait_exception": "predicate",
}
"""Classes of tenacity's strategies, and the attribute in which each keeps the functions that it is made of."""

DESCRIPTOR_MODULE: Final = "cachetools._descriptor"
"""The module of the classes that ``cachetools.cachedmethod`` puts in place of a method."""

_reported: Final[set[str]] = set()
"""The names that were logged already: each is logged once in a process."""


def is_async(function: object) -> bool:
    """Whether a function or a strategy, or a part of the strategy, must be awaited."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return True
    return any(is_async(part) for part in _parts_of(function) or ())


def ignores_results(strategy: Any) -> bool:
    """Whether a ``retry`` strategy is known to refuse every result, so that it need not be called after a success."""
    import tenacity  # noqa: PLC0415 - `import otel_tools` must not load it

    kind = type(strategy)
    if kind in {tenacity.retry_any, tenacity.retry_all}:
        parts = _parts_of(strategy)
        every = all if kind is tenacity.retry_any else any
        return parts is not None and every(map(ignores_results, parts))
    return kind in {
        tenacity.retry_if_exception,
        tenacity.retry_if_exception_type,
        tenacity.retry_if_not_exception_type,
        tenacity.retry_if_exception_message,
        tenacity.retry_if_exception_cause_type,
        type(tenacity.retry_never),
    }


def _parts_of(strategy: object) -> tuple[Any, ...] | None:
    """The functions that one of tenacity's own strategies is made of; None where they are not known."""
    kind = type(strategy)
    if not kind.__module__.startswith("tenacity."):
        return None
    name = next((STRATEGY_PARTS[base.__name__] for base in kind.__mro__ if base.__name__ in STRATEGY_PARTS), None)
    if name is None:
        return None
    parts = getattr(strategy, name, None)
    if parts is None:
        _report(
            f"tenacity.{kind.__name__}.{name}",
            "an async function inside a strategy is not refused and counts as true; a strategy made of several is also "
            "called after a success",
        )
        return None
    return tuple(parts) if isinstance(parts, (tuple, list)) else (parts,)


def retrying_of(layer: Any) -> Any:
    """The ``Retrying`` object of a function under ``tenacity.retry``, whose ``before_sleep`` can be replaced.

    Returns:
        None where the function is not under tenacity, or has no such object.
    """
    tenacity = sys.modules.get("tenacity")
    if tenacity is None:
        return None
    retrying = getattr(layer, "retry", None)
    if isinstance(retrying, tenacity.BaseRetrying):
        if hasattr(retrying, "before_sleep"):
            return retrying
    elif made_by(layer) != "tenacity":
        return None
    _report("tenacity.Retrying.before_sleep", "the retries of functions under tenacity.retry are not reported")
    return None


def is_cached(layer: Any) -> bool:
    """Whether a function is one that cachetools' ``cached`` or ``cachedmethod`` gave back."""
    if not hasattr(layer, "cache") or not callable(getattr(layer, "cache_key", None)):
        return False
    if made_by(layer) == "cachetools":
        return True
    # Another decorator carries these attributes too: `functools.wraps` copies them. So a new wrapper has to tell.
    cachetools = sys.modules.get("cachetools")
    if cachetools is not None and made_by(cachetools.cached({})(lambda: None)) != "cachetools":
        _report("the code of cachetools.cached", "hits of caches without info=True are not reported")
    return False


def is_cachedmethod(layer: Any) -> bool:
    """Whether it is what cachetools' ``cachedmethod`` leaves in a class, as opposed to the method of an instance."""
    # Since cachetools 7 this is a descriptor, and no function; before, it was a function like any other.
    kind = type(layer)
    if kind.__module__ == DESCRIPTOR_MODULE:
        return True
    if _top_package(kind.__module__) == "cachetools" and hasattr(kind, "__set_name__"):
        _report(
            DESCRIPTOR_MODULE,
            "a cachedmethod that is read from its class is refused at the call, not at decoration",
        )
        return True
    return False


def made_by(layer: Any) -> str:
    """The package whose code made a wrapper. ``__module__`` does not say: `functools.wraps` overwrites it."""
    namespace = getattr(layer, "__globals__", None)
    return _top_package(type(layer).__module__ if namespace is None else namespace.get("__name__"))


def _top_package(module: object) -> str:
    return str(module).partition(".")[0]


def _report(name: str, reduced: str) -> None:
    """Log once that a name has moved."""
    if name in _reported:
        return
    _reported.add(name)
    log_safely(logger, logging.WARNING, "%s is not where otel_tools looks for it in this release: %s", name, reduced)
