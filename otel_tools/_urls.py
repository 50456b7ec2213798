"""URLs in logs, errors and terminals: without the credentials in them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

__all__ = ["secrets_in", "shown", "without_path", "without_secrets"]


def without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment, for logs and terminals.

    Text that is no URL, such as a path of a file, is returned as it is.
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an endpoint that is no URL"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def shown(address: object) -> str:
    """A value that was meant as a URL and may be none, for an error message: without what may be a credential."""
    if not isinstance(address, str):
        return repr(address)
    # What stands before the last @ may be a password; the characters of a URL do not tell where it ends.
    return repr(re.sub(r"^(\w+://)?.*@", r"\1", address.partition("?")[0], flags=re.DOTALL))


def secrets_in(url: str) -> list[str]:
    """The parts of a URL that `without_secrets` removes, to be removed from other texts too."""
    if "://" not in url:
        return []
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    user, at, _ = parts.netloc.rpartition("@")
    return [secret for secret in (user + at, parts.query, parts.fragment) if secret]


def without_path(url: str) -> str:
    """The scheme, host and port of a URL whose path is a secret too, such as that of a webhook."""
    parts = urlsplit(url)
    if not parts.hostname:
        return "..."
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/..."
