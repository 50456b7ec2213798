"""HTTP requests to the sidecar's programs."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

# Without a proxy: these addresses are on this machine or in the user's own network.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout: float) -> tuple[int, str]:
    """The status and body of the response; an error status does not raise.

    Args:
        url: an http or https address.
        timeout: seconds for the connection and for each read.

    Raises:
        OSError: there was no response, or it is not HTTP.
    """
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url} does not answer in HTTP: {error!r}") from error


def get_json(url: str, timeout: float) -> Any:
    """The JSON value of the response.

    Args:
        url: an http or https address.
        timeout: seconds for the connection and for each read.

    Raises:
        OSError: there was no response, its status is not 200, or its body is not JSON.
    """
    status, body = get(url, timeout)
    if status != http.client.OK:
        raise ConnectionError(f"{url} answered {status}: {body[:200].strip()}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise ConnectionError(f"{url} answered with what is no JSON: {body[:200].strip()}") from error


def healthy(url: str, timeout: float) -> bool:
    """Whether the URL answers with a 2xx status."""
    try:
        status, _ = get(url, timeout)
    except OSError:
        return False
    return status // 100 == 2  # noqa: PLR2004  # the class of good HTTP answers
