"""The options of `RateLimit`, and the checks that they can work."""

from __future__ import annotations

import inspect
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from otel_tools._policies.checks import is_finite_number, is_wait_seconds
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import RateLimitStore

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["RateLimitOptions", "check_cost", "check_limit", "check_list", "is_cost"]

_MIN_INTERVAL: Final = Fraction(1, 10**9)
"""Seconds between two tokens at least: times are whole nanoseconds."""

_MAX_INTERVAL: Final = 366 * 86_400
"""Seconds between two tokens at most."""


@dataclass(frozen=True, slots=True, eq=False)
class RateLimitOptions:
    """The options of `RateLimit`, which documents each of them."""

    rate: float | Sequence[RateLimitOptions]
    per: float = 1.0
    burst: int | None = None
    max_wait: float | None = None
    key: Callable[[dict[str, Any]], Hashable] | None = None
    store: RateLimitStore | None = None
    _: KW_ONLY
    name: str | None = None
    cost: float | Callable[[dict[str, Any]], float] = 1

    @property
    def quota_text(self) -> str:
        """The rate in words."""
        return f"{self.rate:g} per {self.per:g} s"


_DEFAULTS: Final = RateLimitOptions(1)


def is_cost(value: Any) -> bool:
    """Whether a value is a number of tokens that a call can take."""
    return is_finite_number(value) and value >= 0


def check_limit(limit: RateLimitOptions) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigurationError: A value cannot work.
    """
    for option in ("rate", "per"):
        value = getattr(limit, option)
        if not is_finite_number(value) or value <= 0:
            raise ConfigurationError(f"RateLimit({option}={value!r}): a finite number above 0 is needed")
    if not _MIN_INTERVAL <= Fraction(limit.per) / Fraction(limit.rate) <= _MAX_INTERVAL:  # type: ignore[arg-type] # a number
        raise ConfigurationError(
            f"RateLimit(rate={limit.rate!r}, per={limit.per!r}): "
            "a rate between one token a year and a billion a second is needed"
        )
    burst = limit.burst
    if burst is not None and (isinstance(burst, bool) or not isinstance(burst, int) or burst < 1):
        raise ConfigurationError(f"RateLimit(burst={burst!r}): a whole number of tokens is needed, 1 or more")
    check_max_wait(limit)
    for option in ("key", "cost"):
        function = getattr(limit, option)
        is_function = callable(function) and not inspect.iscoroutinefunction(function)
        if not is_function and (callable(function) or (option == "key" and function is not None)):
            raise ConfigurationError(
                f"RateLimit({option}={function!r}): a plain function of the arguments is needed, "
                f'as in {option}=lambda args: args["{"user_id" if option == "key" else "size"}"]'
            )
    if limit.store is not None and not isinstance(limit.store, RateLimitStore):
        raise ConfigurationError(
            f"RateLimit(store={limit.store!r}): a store that can reserve is needed: RedisStore(url)"
        )
    if limit.name is not None and (not isinstance(limit.name, str) or not limit.name):
        raise ConfigurationError(f"RateLimit(name={limit.name!r}): text is needed, or None for the name of the tool")


def check_cost(limit: RateLimitOptions, burst: int) -> None:
    """Refuse a cost that cannot work.

    Raises:
        ConfigurationError: It is neither a function nor a number of tokens that the bucket can hold.
    """
    cost = limit.cost
    if callable(cost):
        return
    if not is_cost(cost):
        raise ConfigurationError(
            f"RateLimit(cost={cost!r}): a number of tokens is needed, 0 or more, or a function of the arguments, "
            'as in cost=lambda args: len(args["rows"])'
        )
    if cost > burst:
        raise ConfigurationError(
            f"RateLimit(cost={cost!r}): no more than burst={burst} tokens are ever there at once; raise burst"
        )


def check_max_wait(limit: RateLimitOptions) -> None:
    """Refuse a wait that cannot work.

    Raises:
        ConfigurationError: It is no number of seconds.
    """
    if limit.max_wait is not None and not is_wait_seconds(limit.max_wait):
        raise ConfigurationError(
            f"RateLimit(max_wait={limit.max_wait!r}): seconds are needed, 0 or more (0 never waits), "
            "or None to wait as long as it takes"
        )


def check_list(limit: RateLimitOptions, limits: Sequence[RateLimitOptions]) -> None:
    """Refuse a list of limits that cannot work together.

    Args:
        limit: The limit that was made of the list.
        limits: Those of the list, and of the lists in it.

    Raises:
        ConfigurationError: They cannot.
    """
    check_max_wait(limit)
    given = [
        f"{name}={getattr(limit, name)!r}"
        for name, default in (
            ("per", 1.0),
            ("burst", None),
            ("key", None),
            ("store", None),
            ("name", None),
            ("cost", 1),
        )
        if getattr(limit, name) is not default and getattr(limit, name) != default
    ]
    if given:
        raise ConfigurationError(
            f"RateLimit([...], {given[0]}): belongs into the limits of the list, as in RateLimit([RateLimit(10, "
            f"{given[0]}), ...])"
        )
    if not limits:
        raise ConfigurationError("RateLimit([]): a list of at least one RateLimit is needed")
    if len(set(map(id, limits))) < len(limits):
        raise ConfigurationError("RateLimit([...]): the same RateLimit is in the list twice; name it once")
    stores = {id(each.store): each.store for each in limits}
    if len(stores) > 1:
        raise ConfigurationError(
            f"RateLimit([...]): its limits are kept in different places ({', '.join(map(repr, stores.values()))}), and "
            "so cannot be taken from at once; give them the same store"
        )
    (store,) = stores.values()
    if store is not None and len(limits) > 1 and not (hasattr(store, "reserve_all") and hasattr(store, "areserve_all")):
        raise ConfigurationError(
            f"RateLimit([...]): {store!r} cannot take from several limits at once: the methods reserve_all and "
            "areserve_all are needed, see otel_tools.stores.RateLimitStore"
        )
