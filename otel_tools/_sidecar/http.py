"""Small HTTP requests to the sidecar's own programs."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

# These addresses are on this machine (or the user's own network): a proxy has no part in it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout: float) -> tuple[int, str]:
    """Status and body of the answer; any HTTP status is an answer.

    Args:
        url: an http or https address.
        timeout: seconds for each step of the exchange.

    Raises:
        OSError: nobody answered, or what answered does not speak HTTP.
    """
    try:
        with _OPENER.open(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url} does not answer in HTTP: {error!r}") from error


def get_json(url: str, timeout: float) -> Any:
    """The answer's JSON.

    Args:
        url: an http or https address.
        timeout: seconds for each step of the exchange.

    Raises:
        OSError: nobody answered, the status is not 200, or the body is not JSON.
    """
    status, body = get(url, timeout)
    if status != http.client.OK:
        raise ConnectionError(f"{url} answered {status}: {body[:200].strip()}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise ConnectionError(f"{url} answered with what is no JSON: {body[:200].strip()}") from error


def healthy(url: str, timeout: float) -> bool:
    """Whether the address answers with a status of 2xx."""
    try:
        status, _ = get(url, timeout)
    except OSError:
        return False
    return status // 100 == 2  # noqa: PLR2004  # the class of good HTTP answers
