"""What one tool's calls are kept under."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from otel_tools._policies.cache.canonical_arguments import Unkeyable, form, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._policies.cache.cache import Cache
    from otel_tools._policies.cache.memory import Entries

__all__ = ["Owner", "key_in_memory", "key_in_store", "prefix_of"]

logger = logging.getLogger("otel_tools.policies.cache")


class Owner:
    """Whose an entry is: the first part of a key. Two functions of one name do not get each other's values."""

    __slots__ = ("entries", "tool")

    def __init__(self, tool: str, entries: Entries) -> None:
        self.tool = tool
        self.entries = entries

    def __repr__(self) -> str:
        return f"<Owner {self.tool!r}>"


def prefix_of(tool: str) -> str:
    """How the keys of a tool begin in a store; a name has no spaces, so no tool's prefix begins another's."""
    return f"cache {tool} "


def key_in_memory(options: Cache, info: ToolInfo, owner: Owner, entries: Entries) -> Callable[..., Any]:
    """Gives keys as tuples: the owner, the instance of a method or None, and the forms of the arguments."""
    bind = info.arguments.bind

    def plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = bind(*args, **kwargs).values()
        return (owner, None, *[value if type(value) is str else form(value) for value in values])

    def of_method(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        itself, *values = bind(*args, **kwargs).values()
        # What cannot be referred to weakly, such as a named tuple, may still be known by its value.
        return (owner, entries.instance(itself) or form(itself), *[form(value) for value in values])

    def chosen(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (owner, None, form(ask(bind(*args, **kwargs))))

    if options.key is not None:
        ask = _asking(options.key, info.tool)
        return chosen
    return plain if info.arguments.receiver is None else of_method


def key_in_store(options: Cache, info: ToolInfo) -> Callable[..., Any]:
    """Gives keys as text, the same in every process."""
    bind, prefix = info.arguments.bind, prefix_of(info.tool)
    ask: Callable[[dict[str, Any]], Any] = _asking(options.key, info.tool) if options.key is not None else dict

    def written(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tree = text(form(ask(bind(*args, **kwargs))))
        return prefix + hashlib.sha256(tree.encode(errors="surrogatepass")).hexdigest()

    return written


def _asking(custom: Callable[[dict[str, Any]], Any], tool: str) -> Callable[[dict[str, Any]], Any]:
    """A ``key=`` that never fails a call."""

    def ask(bound: dict[str, Any]) -> Any:
        try:
            return custom(bound)
        except Exception as error:
            # A broken logging handler must not fail the tool either.
            with contextlib.suppress(Exception):
                logger.exception("key of the cache of tool %r raised; the call goes on without it", tool)
            raise Unkeyable("key= raised") from error

    return ask
