"""`Objective`: the success ratio that a tool should keep."""

from __future__ import annotations

from dataclasses import dataclass

from otel_tools._option_names import check_option_names
from otel_tools._policies.pydantic_fields import FieldOfModels
from otel_tools.errors import ConfigurationError

__all__ = ["Objective"]


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class Objective(FieldOfModels):
    """The success ratio that a tool should keep; exported as a gauge that the alert rules join on.

    Args:
        success: Ratio of calls that succeed, above 0 and below 1, such as 0.99.

    Raises:
        ConfigurationError: The ratio is not between 0 and 1.
    """

    success: float

    def __post_init__(self) -> None:
        if isinstance(self.success, bool) or not isinstance(self.success, (int, float)) or not 0 < self.success < 1:
            raise ConfigurationError(
                f"Objective(success={self.success!r}): a ratio above 0 and below 1 is needed, such as 0.99; "
                "1 would leave no error budget to burn"
            )
