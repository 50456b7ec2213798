"""The keywords of `tool` and their types, for type checkers and IDEs: one line an option.

What each option does stands in the option tables (``_policies/options.py``, ``_tool/options.py``). The text under a
keyword here is the same, for IDEs, which read source; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003 - the annotations are read at run time
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from pydantic import BaseModel

    from otel_tools._policies.cache.cache import Cache
    from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
    from otel_tools._policies.concurrency import Concurrency
    from otel_tools._policies.rate_limit.limit import RateLimit
    from otel_tools._policies.retry.retry import Retry
    from otel_tools._tool.objective import Objective

__all__ = ["PolicyArguments", "ToolArguments"]


class PolicyArguments(TypedDict, total=False):
    """The policies of a tool, by the keywords of `tool` and of ``fn.tool.override``."""

    validate: bool | Literal["both"] | None
    """True validates and coerces the arguments, as a model sends them, against the signature; ``'both'`` checks the
    result against its annotation too."""
    fallback: Callable[..., Any] | None
    """Called with the same arguments when the call fails; its result is served instead."""
    fallback_on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object] | None
    """Restricts ``fallback`` to these exceptions, or to those for which this predicate is true."""
    cache: Cache | None
    """Keeps results and serves them to later calls with the same arguments."""
    retry: Retry | None
    """Repeats attempts that fail."""
    circuit_breaker: CircuitBreaker | None
    """Stops calling a tool that fails too often, for a while."""
    concurrency: Concurrency | None
    """Limits how many attempts run at once."""
    rate_limit: RateLimit | Sequence[RateLimit] | None
    """Limits how many attempts start per period; a list of limits holds all of them at once."""
    timeout: float | None
    """Seconds that one attempt may take. A sync function then runs on a thread of its own, which cannot be killed:
    after its timeout it runs on, and nobody waits for it. It can ask `otel_tools.remaining` and `otel_tools.cancelled`.
    Thread-locals, SQLite connections and context variables that it sets stay on that thread."""
    failed_if: Callable[[Any], object] | None
    """Called with each result. Where it is true, the call counts as an error (``error.type=tool_error``), and the
    caller gets the result untouched. For tools that return their errors."""


class ToolArguments(PolicyArguments, total=False):
    """Every keyword of `tool`."""

    name: str | None
    """The name that the model calls; by default the function's own."""
    description: str | None
    """The description sent to the model; by default the docstring, its first paragraph on the span."""
    args: type[BaseModel] | None
    """A pydantic model that declares the arguments in place of the signature, for the schema and for ``validate``,
    which it turns on. The function takes the model's fields by name, or has one parameter of its type."""
    redact: bool | Literal["keys"] | None
    """What is replaced in the results that a model reads, in place of the ``redact`` of its `ToolSet`: True for secrets
    by their shape, such as API keys, ``'keys'`` for the values of secret keys too, False for nothing."""
    objective: Objective | None
    """The success ratio that the tool should keep; the alert on its failure ratio uses it."""
