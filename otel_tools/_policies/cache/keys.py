"""Cache keys: the key of a call in memory, and in a store."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from otel_tools._call.safe_logging import log_safely
from otel_tools._policies.cache.canonical_arguments import NoCacheKeyError, canonical_form, canonical_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._policies.cache.memory import CacheMemory
    from otel_tools._policies.cache.options import CacheOptions

__all__ = ["Namespace", "key_in_memory", "key_in_store", "store_prefix"]

logger = logging.getLogger("otel_tools.policies.cache")


class Namespace:
    """The first part of one tool's keys in memory; it is compared by identity.

    So two functions of one name do not get each other's values.
    """

    __slots__ = ("memory", "tool")

    def __init__(self, tool: str, memory: CacheMemory) -> None:
        self.tool = tool
        self.memory = memory

    def __repr__(self) -> str:
        return f"<Namespace {self.tool!r}>"


def store_prefix(tool: str) -> str:
    """The beginning of a tool's keys in a store; a name has no spaces, so no tool's prefix begins another's."""
    return f"cache {tool} "


def key_in_memory(
    options: CacheOptions, info: ToolInfo, namespace: Namespace, memory: CacheMemory
) -> Callable[..., Any]:
    """A function that gives keys as tuples: the namespace, the instance of a method or None, and the arguments."""
    bind = info.arguments.bind

    def key_of_function(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = bind(*args, **kwargs).values()
        return (namespace, None, *[value if type(value) is str else canonical_form(value) for value in values])

    def key_of_method(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        receiver, *values = bind(*args, **kwargs).values()
        # An object that takes no weak reference, such as a named tuple, may still be told apart by its value.
        instance = memory.instance(receiver) or canonical_form(receiver)
        return (namespace, instance, *[canonical_form(value) for value in values])

    def chosen_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (namespace, None, canonical_form(choose(bind(*args, **kwargs))))

    if options.key is not None:
        choose = _guarded(options.key, info.tool)
        return chosen_key
    return key_of_function if info.arguments.receiver is None else key_of_method


def key_in_store(options: CacheOptions, info: ToolInfo) -> Callable[..., Any]:
    """A function that gives keys as text, the same in every process."""
    bind, prefix = info.arguments.bind, store_prefix(info.tool)
    choose: Callable[[dict[str, Any]], Any] = _guarded(options.key, info.tool) if options.key is not None else dict

    def key_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text = canonical_text(canonical_form(choose(bind(*args, **kwargs))))
        return prefix + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    return key_text


def _guarded(custom: Callable[[dict[str, Any]], Any], tool: str) -> Callable[[dict[str, Any]], Any]:
    """A ``key=`` that never fails a call."""

    def choose(bound: dict[str, Any]) -> Any:
        try:
            return custom(bound)
        except Exception as error:
            log_safely(
                logger,
                logging.ERROR,
                "key of the cache of tool %r raised; the call goes on without it",
                tool,
                exc_info=True,
            )
            raise NoCacheKeyError("key= raised") from error

    return choose
