"""The validation policies: check arguments before the call and the result after it, by pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_tools._arguments.validation_errors import MAX_LISTED, bullet_list
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import ended_flow
from otel_tools.errors import ConfigurationError, InvalidArguments, InvalidResult

if TYPE_CHECKING:
    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["accepted_arguments", "validate_arguments", "validate_result"]


def validate_arguments(info: ToolInfo) -> Policy:
    """Validate and coerce the arguments, as a model sends them, and refuse the call where they do not fit.

    Arguments are accepted by pydantic's lax rules, or as JSON where types are strict. An argument that is left out gets
    the function's own default, and null is accepted where that default is None. Names that are no parameter are
    refused; for one single parameter that is a pydantic model, its fields may be given in its place.

    Annotations whose names are not defined yet at decoration are looked up again at the first call, in the function's
    module and closure. A call fails with `ConfigurationError` while they cannot be found.

    Args:
        info: The tool.

    Raises:
        ConfigurationError: pydantic cannot check an annotation.
    """
    taken = info.argument_validator

    def policy(inner: Next) -> Next:
        # No generator: one that only delegates costs as much as the validation itself.
        def flow(call: Call) -> Flow:
            ready, failure = taken.built, None
            if ready is not None and ready.is_simple:
                try:
                    if len(call.args) == ready.receiver_count:
                        call.kwargs = ready.validate(call.kwargs)
                        return inner(call)
                    if ready.coerce_simple(call):
                        return inner(call)
                except ready.error_class as error:
                    failure = error
                except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
                    return ended_flow(Outcome.of_error(error))
            refused = _take(info, call, failure)
            return inner(call) if refused is None else ended_flow(refused)

        return flow

    return policy


def accepted_arguments(
    info: ToolInfo, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after validation, as the function gets them.

    Raises:
        InvalidArguments: They do not fit.
    """
    call = Call(args, kwargs)
    refused = _take(info, call, None)
    if refused is not None and refused.error is not None:
        raise refused.error
    return call.args, call.kwargs


def validate_result(info: ToolInfo) -> Policy:
    """Check that the result fits the function's return annotation; the value itself is passed on untouched.

    The check is strict: no string for a number, no text for a date. A dictionary that fits passes for a pydantic model.

    Args:
        info: The tool.

    Raises:
        ConfigurationError: There is no annotation, pydantic cannot check it, or the tool is a generator.
    """
    if info.generator:
        raise ConfigurationError(
            f"tool {info.tool!r}: validate='both' checks one result, and a generator has many; use validate=True"
        )
    returned = info.result_validator

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            outcome = yield from inner(call)
            if outcome.error is None and outcome.result in {"ok", "cached"}:
                try:
                    wrong = returned.get().errors(outcome.value)
                except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
                    return Outcome.of_error(error)
                if wrong:
                    message = f"{info.tool} returned what its annotation does not allow:\n{bullet_list(wrong)}"
                    return Outcome(
                        None, InvalidResult(message, tool=info.tool, errors=tuple(wrong[:MAX_LISTED])), "error"
                    )
            return outcome

        return flow

    return policy


def _take(info: ToolInfo, call: Call, failure: Any) -> Outcome | None:
    """Validate arguments of any kind; returns the outcome of the call where they are refused."""
    try:
        wrong = info.argument_validator.get().coerce(call, failure)
    except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
        return Outcome.of_error(error)
    if not wrong:
        return None
    tool = info.tool
    message = f"The arguments of {tool} were refused:\n{bullet_list(wrong)}"
    return Outcome(None, InvalidArguments(message, tool=tool, errors=tuple(wrong[:MAX_LISTED])), "invalid")
