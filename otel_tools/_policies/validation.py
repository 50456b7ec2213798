"""Do the arguments fit the function, and its result what it says it returns? Decided by pydantic, before and after."""

from __future__ import annotations

import contextlib
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from otel_tools._arguments.annotations import NotYetDefined
from otel_tools._arguments.validation_errors import MAX_LISTED, listed
from otel_tools._call.steps import Call, Outcome, over
from otel_tools.errors import ConfigurationError, InvalidArguments, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.coercion import Filling, Returned
    from otel_tools._call.steps import Flow, Next, Policy, ToolInfo

__all__ = ["accepted_arguments", "filling_of", "validate_arguments", "validate_result"]

T = TypeVar("T")


def validate_arguments(info: ToolInfo) -> Policy:
    """Validate and coerce the arguments, as a model sends them, and refuse the call where they do not fit.

    Arguments are taken by pydantic's lax rules, or as JSON where types are strict. What is left out is left to the
    function's own default, and null is taken where that default is None. Names that are no parameter are refused; for
    one single parameter that is a pydantic model, its fields may be given in its place.

    Annotations whose names are not defined yet at decoration are looked up again at the first call, in the function's
    module and closure. A call fails with `ConfigurationError` while they cannot be found.

    Args:
        info: The tool.

    Raises:
        ConfigurationError: pydantic cannot check an annotation.
    """
    taken = _of(info, _filling)

    def policy(inner: Next) -> Next:
        # No generator: one that only delegates would cost as much as the validation itself.
        def flow(call: Call) -> Flow:
            ready, failure = taken.built, None
            if ready is not None and ready.plain:
                try:
                    if len(call.args) == ready.receivers:
                        call.kwargs = ready.validate(call.kwargs)
                        return inner(call)
                    if ready.take_plain(call):
                        return inner(call)
                except ready.failure as error:
                    failure = error
                except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
                    return over(Outcome.of_error(error))
            refused = _take(taken, call, failure)
            return inner(call) if refused is None else over(refused)

        return flow

    return policy


def accepted_arguments(
    info: ToolInfo, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as validation hands them on.

    Raises:
        InvalidArguments: They do not fit.
    """
    call = Call(args, kwargs)
    refused = _take(_of(info, _filling), call, None)
    if refused is not None and refused.error is not None:
        raise refused.error
    return call.args, call.kwargs


def validate_result(info: ToolInfo) -> Policy:
    """Check that the function returns what its annotation says; the value itself is passed on untouched.

    Strictly: no string for a number, no text for a date. A dictionary that fits passes for a pydantic model.

    Args:
        info: The tool.

    Raises:
        ConfigurationError: There is no annotation, pydantic cannot check it, or the tool is a generator.
    """
    if info.generator:
        raise ConfigurationError(
            f"tool {info.tool!r}: validate='both' checks one result, and a generator has many; use validate=True"
        )
    returned = _of(info, _returned)

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            outcome = yield from inner(call)
            if outcome.error is None and outcome.result in {"ok", "cached"}:
                try:
                    wrong = returned.get().wrong(outcome.value)
                except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
                    return Outcome.of_error(error)
                if wrong:
                    message = f"{info.tool} returned what its annotation does not allow:\n{listed(wrong)}"
                    return Outcome(
                        None, InvalidResult(message, tool=info.tool, errors=tuple(wrong[:MAX_LISTED])), "error"
                    )
            return outcome

        return flow

    return policy


def filling_of(info: ToolInfo) -> Filling:
    """How a tool's arguments are validated: what its policy goes by, or would.

    Raises:
        ConfigurationError: pydantic cannot check an annotation, or a name in it is not defined.
    """
    return _of(info, _filling).get()


def _take(taken: _Once[Filling], call: Call, failure: Any) -> Outcome | None:
    """Validate all kinds of arguments; what becomes of the call where they are refused."""
    try:
        wrong = taken.get().take(call, failure)
    except BaseException as error:  # noqa: BLE001 - a validator of the user's; the driver raises it
        return Outcome.of_error(error)
    if not wrong:
        return None
    tool = taken.info.tool
    message = f"The arguments of {tool} were refused:\n{listed(wrong)}"
    return Outcome(None, InvalidArguments(message, tool=tool, errors=tuple(wrong[:MAX_LISTED])), "invalid")


class _Once(Generic[T]):
    """Something that is built once for a tool: at its decoration, or at the first call where a name is not defined yet.

    Attributes:
        info: The tool.
        built: It; None until it could be built.
    """

    __slots__ = ("_build", "_lock", "built", "info")

    def __init__(self, info: ToolInfo, build: Callable[[ToolInfo, bool], T]) -> None:
        self.info = info
        self.built: T | None = None
        self._build = build
        self._lock = RLock()
        with contextlib.suppress(NotYetDefined):  # at the first call it may be
            self.built = build(info, True)  # noqa: FBT003 - the one flag there is

    def get(self) -> T:
        """Give it, built now if it has to be.

        Raises:
            ConfigurationError: A name is still not defined.
        """
        with self._lock:
            if self.built is None:
                try:
                    self.built = self._build(self.info, False)  # noqa: FBT003 - as above
                except NotYetDefined as error:
                    raise ConfigurationError(str(error)) from None
            return self.built


def _of(info: ToolInfo, build: Callable[[ToolInfo, bool], T]) -> _Once[T]:
    """What was built for this tool, also by an override: then the scopes that defined the function may be gone."""
    # The function that binds its arguments is the tool's own and lives as long, whatever function it calls now.
    known = vars(info.arguments.bind)
    once: _Once[T] | None = known.get(build.__name__)
    if once is None:
        once = known[build.__name__] = _Once(info, build)
    return once


def _filling(info: ToolInfo, decorating: bool) -> Filling:
    from otel_tools._arguments.coercion import Filling  # noqa: PLC0415 - imports pydantic
    from otel_tools._arguments.parameters import arguments_model  # noqa: PLC0415 - as above

    if info.declared is None:
        return Filling(arguments_model(info, decorating=decorating), info.arguments.receiver)
    from otel_tools._arguments.args_model import declared_model  # noqa: PLC0415 - as above

    return Filling(declared_model(info, decorating=decorating), info.arguments.receiver)


def _returned(info: ToolInfo, decorating: bool) -> Returned:
    from otel_tools._arguments.coercion import Returned  # noqa: PLC0415 - imports pydantic
    from otel_tools._arguments.parameters import result_adapter  # noqa: PLC0415 - as above

    return Returned(result_adapter(info, decorating=decorating))
