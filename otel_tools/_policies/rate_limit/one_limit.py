"""One limit: its buckets, its name in a store, and what a call takes from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from otel_tools._policies.rate_limit.options import check_cost, check_limit, is_cost
from otel_tools._policies.rate_limit.tokens import Request, log_failure, too_much
from otel_tools.errors import ConfigurationError
from otel_tools.stores._gcra import COMMON, Demand, KeyedBuckets, Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._policies.rate_limit.options import RateLimitOptions

__all__ = ["OneLimit"]


class OneLimit:
    """One limit of a `RateLimit`, which may be a list of them.

    Args:
        options: Its options.

    Attributes:
        options: Its options.
        buckets: Its buckets in this process.

    Raises:
        ConfigurationError: A value cannot work.
    """

    __slots__ = ("_name", "_tool", "buckets", "options")

    def __init__(self, options: RateLimitOptions) -> None:
        check_limit(options)
        rate = cast("float", options.rate)
        burst = max(1, math.floor(rate)) if options.burst is None else options.burst
        check_cost(options, burst)
        self.options = options
        self.buckets = KeyedBuckets(Quota.of(rate, options.per, burst))
        self._name = options.name
        self._tool: str | None = None

    @property
    def is_simple(self) -> bool:
        """Whether it is kept in this process, and each call takes one token."""
        return self.options.store is None and self.options.cost == 1

    def name_for(self, tool: str, name: str) -> str:
        """The name under which processes share it, chosen when the first tool is decorated with it.

        Raises:
            ConfigurationError: Several tools share it in a store and it has no name: another process may decorate them
                in another order, and would have another limit.
        """
        if self._tool is None:
            self._tool, self._name = tool, self._name or name
        elif self.options.store is not None and self.options.name is None and self._tool != tool:
            raise ConfigurationError(
                f"tool {tool!r}: rate_limit= is shared with tool {self._tool!r} and kept in a store: give it a name "
                f"that all processes use, RateLimit({self.options.rate!r}, per={self.options.per!r}, store=..., "
                "name='my-limit')"
            )
        return self._name or name

    def key_of(self, info: ToolInfo) -> Callable[[Call], Hashable] | None:
        """A function that returns the key of a call; None where all calls share one bucket."""
        return None if self.options.key is None else _asked("key", self.options.key, info, COMMON)

    def cost_of(self, info: ToolInfo) -> Callable[[Call], float]:
        """A function that returns the tokens that a call takes."""
        cost = self.options.cost
        if not callable(cost):
            return lambda _: cost
        return _asked("cost", lambda arguments: _checked(cost(arguments)), info, 1)

    def by_hand(self, key: Hashable, cost: float | None) -> Request | None:
        """What is taken by hand; None for nothing.

        Raises:
            ConfigurationError: It is kept in a store, and has no name.
            RateLimited: It is more than there ever is.
        """
        if self.options.store is not None and self._name is None:
            raise ConfigurationError(
                f"RateLimit.acquire(): {self.options!r} is kept in a store: give it a name= that all processes use"
            )
        if cost is None:
            cost = 1 if callable(self.options.cost) else self.options.cost
        return self.request(COMMON if self.options.key is None else key, cost, "by hand")

    def request(self, key: Hashable, cost: float, tool: str) -> Request | None:
        """What a call of this cost takes; None for nothing.

        Raises:
            RateLimited: It is more than there ever is.
        """
        if not cost:
            return None
        quota = self.buckets.quota.for_cost(cost)
        if quota.tolerance < 0:
            raise too_much(self.options, tool, cost, self.buckets.quota.burst)
        return Request(self.options, Demand(self.buckets, key, quota), self._name or tool)


def _checked(cost: Any) -> Any:
    if not is_cost(cost):
        raise ValueError(f"cost= returned {cost!r}; a number of tokens is needed, 0 or more")
    return cost


def _asked(
    option: str, function: Callable[[dict[str, Any]], Any], info: ToolInfo, default: Any
) -> Callable[[Call], Any]:
    """Asks a function of the user's about the arguments of a call."""
    bind, tool = info.arguments.bind, info.tool

    def ask(call: Call) -> Any:
        try:
            arguments = bind(*call.args, **call.kwargs)
        except TypeError:
            # The arguments do not fit; the function itself will raise that.
            return default
        try:
            return function(arguments)
        except Exception as error:  # noqa: BLE001 - a mistake in it must not fail the tool
            log_failure(option, tool, error)
            return default

    return ask
