"""`check_option_names`: what is said of a wrong, missing or superfluous argument of a public class or function."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["check_option_names", "unknown_option"]

CallableT = TypeVar("CallableT", bound="Callable[..., Any]")

_checked: Final[dict[str, Callable[..., Any]]] = {}
"""Each checked class, function and method by its name; tells whose option a misplaced one is."""

_OTHER_WORDS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("max_retries", "retries", "tries", "max_tries", "stop_after_attempt"), "attempts"),
    (("delay", "base_delay", "initial_delay", "min", "min_wait", "wait_min"), "initial"),
    (("backoff", "backoff_factor", "factor", "exponential_base", "base"), "multiplier"),
    (("max_delay", "wait_max", "max_backoff", "cap"), "max"),
    (("exceptions", "retry_on", "expected_exception", "errors"), "on"),
    (("calls", "max_calls", "limit", "requests", "max_rate"), "rate"),
    (("period", "interval", "time_period", "seconds"), "per"),
    (("expire", "expires", "expires_in", "expiry", "timeout", "seconds"), "ttl"),
    (("size", "max_entries", "capacity"), "maxsize"),
    (("max", "max_concurrency", "max_concurrent", "max_workers", "workers", "slots", "value"), "limit"),
    (("fail_max", "failure_threshold", "threshold", "max_failures"), "failures"),
    (("reset_timeout", "recovery_timeout", "break_duration"), "cooldown"),
    (("host", "uri", "address"), "url"),
    (("file", "filename", "db", "database"), "path"),
    (("url", "otlp_endpoint", "collector"), "endpoint"),
    (("api_key", "token", "auth"), "headers"),
    (("version",), "service_version"),
    (("sampling", "sample_rate", "sampling_rate"), "sample_ratio"),
    (("slo", "target", "ratio"), "success"),
    (("session_id", "thread_id"), "conversation_id"),
    (("max_iterations", "max_steps"), "max_turns"),
)
"""What other libraries call an option, and what we call it."""

_CLOSE: Final = 0.55
_ALMOST_THE_SAME: Final = 0.8
"""How alike two names are, as `difflib` measures it: to be proposed, and to be taken for a slip of the hand."""


def check_option_names(target: CallableT) -> CallableT:
    """Make a call whose arguments do not fit the signature a `ConfigurationError` that says what was meant.

    Of a class: its ``__init__``, and its public methods that take options by keyword. Nothing else changes: the
    signature, for people and for type checkers, the docstring, and what is raised inside.
    """
    name = target.__name__
    if not isinstance(target, type):
        _checked[name] = checked = _check(target, name)
        return checked  # type: ignore[return-value] # the same, checked
    _checked[name] = target
    target.__init__ = _check(target.__init__, name)  # type: ignore[misc] # the same, checked
    for method, function in list(vars(target).items()):
        if not method.startswith("_") and inspect.isfunction(function) and _takes_keywords(function):
            setattr(target, method, _check(function, f"{name}.{method}"))
    return target


def unknown_option(where: str, name: str, options: Iterable[str]) -> ConfigurationError:
    """The error for a keyword that is no option.

    Args:
        where: What was called, such as ``Retry``.
        name: The keyword.
        options: The options that there are.
    """
    options = list(options)
    if close := _meant(name, options):
        way_out = f"; did you mean {close}=...?"
    elif owner := next((owner for owner in _nested_with(where) if name in _options_of(_checked[owner])), None):
        way_out = f"; {name} is an option of {owner}"
    else:
        way_out = ""
    return ConfigurationError(f"{where}({name}=...): no such option{way_out} {_accepted(options)}")


def _check(function: Callable[..., Any], where: str) -> Callable[..., Any]:
    # Where any keyword is passed on, a wrong one is not seen by Python.
    own = list(_options_of(function)) if _passes_keywords_on(function) else []

    if inspect.iscoroutinefunction(function):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            if own:
                _refuse_misspelt(where, kwargs, own)
            try:
                coroutine = function(*args, **kwargs)
            except TypeError:
                _refuse_arguments(call_async, where, args, kwargs)
                raise
            return await coroutine

        return functools.wraps(function)(call_async)

    def call(*args: Any, **kwargs: Any) -> Any:
        if own:
            _refuse_misspelt(where, kwargs, own)
        try:
            return function(*args, **kwargs)
        except TypeError:
            _refuse_arguments(call, where, args, kwargs)
            raise

    return functools.wraps(function)(call)


def _refuse_misspelt(where: str, given: Mapping[str, Any], own: list[str]) -> None:
    for name in given:
        if name not in own and _closest(name, own, _ALMOST_THE_SAME):
            raise unknown_option(where, name, own)


def _refuse_arguments(
    function: Callable[..., Any], where: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Say what is wrong with arguments that do not fit the signature; nothing where they fit, and the error is another.

    Raises:
        ConfigurationError: They do not fit.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        problem = str(error)
    else:
        return
    parameters = [each for name, each in signature.parameters.items() if name != "self"]
    options = [each.name for each in parameters if _is_option(each)]
    unknown = [name for name in kwargs if name not in options]
    if unknown and not _passes_keywords_on(function):
        raise unknown_option(where, unknown[0], options) from None
    positions = [each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
    given = len(args) - (len(signature.parameters) - len(parameters))
    missing = [
        each.name
        for each in parameters
        if each.default is each.empty
        and each.kind not in {each.VAR_KEYWORD, each.VAR_POSITIONAL}
        and each.name not in kwargs
        and each not in positions[:given]
    ]
    if missing:
        problem = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    elif given > len(positions):
        problem = f"too many values without a name ({given}, of {len(positions)} at most); give options by name"
    accepted = "" if _passes_keywords_on(function) and not options else f" {_accepted(options)}"
    raise ConfigurationError(f"{where}(): {problem}{accepted}") from None


def _accepted(options: list[str]) -> str:
    return f"(accepted: {', '.join(options) or 'none'})"


def _meant(name: str, options: list[str]) -> str | None:
    """The option that a wrong name most likely stands for."""
    for words, option in _OTHER_WORDS:
        if option in options and name.lower() in words:
            return option
    if slip := _closest(name, options, _ALMOST_THE_SAME):
        return slip
    parts = [option for option in options if f"_{option}_" in f"_{name}_" or f"_{name}_" in f"_{option}_"]
    return parts[0] if parts else _closest(name, options, _CLOSE)


def _nested_with(where: str) -> list[str]:
    """Whose options are given near those of a callable: `tool` takes policies and is around them."""
    if where == "tool":
        return [name for name, known in _checked.items() if isinstance(known, type)]
    return ["tool"] if "tool" in _checked else []


def _closest(name: str, options: Iterable[str], cutoff: float) -> str | None:
    import difflib  # noqa: PLC0415 - for mistakes alone

    plain = {option.replace("_", ""): option for option in options}
    wanted = name.lower().replace("_", "").replace("-", "")
    found = difflib.get_close_matches(wanted, plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def _options_of(function: Callable[..., Any]) -> list[str]:
    return [each.name for each in inspect.signature(function).parameters.values() if _is_option(each)]


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.name != "self" and parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}


def _takes_keywords(function: Callable[..., Any]) -> bool:
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    return bool(kinds & {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD})


def _passes_keywords_on(function: Callable[..., Any]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(function).parameters.values())
