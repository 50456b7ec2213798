"""The address that alerts are sent to: a secret, so in a file of its own and in no config."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

WEBHOOK_FILE = Path("secret", "alert-webhook-url")


def write_webhook(folder: Path, url: str | None) -> Path:
    """Keep the address that alerts go to, in the file that Alertmanager reads.

    Args:
        folder: the state folder.
        url: the address; empty for none; None keeps what is there.

    Returns:
        The file.
    """
    path = folder / WEBHOOK_FILE
    # The folder is for the user alone. The file is not, for in a container another user reads it.
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o700)
    if url is not None or not path.exists():
        path.write_text(url or "")
        path.chmod(0o644)
    return path


def read_webhook(folder: Path) -> str:
    """The address that alerts go to; empty for none.

    Args:
        folder: the state folder.
    """
    try:
        return (folder / WEBHOOK_FILE).read_text().strip()
    except OSError:
        return ""


def without_secret(url: str) -> str:
    """Scheme and host of an address; a webhook's path, query and password are its secret."""
    parts = urlsplit(url)
    if not parts.hostname:
        return "..."
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/..."
