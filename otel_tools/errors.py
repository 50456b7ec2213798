"""What can be raised to the people who use the library: one tree."""

__all__ = ["ConfigurationError"]


class ConfigurationError(ValueError):
    """An option has a value that cannot work.

    Raised where the option is given (at decoration, or by ``configure()``), never later at a call. The
    message names the tool or argument, the value and what would be accepted.
    """
