"""The webhook URL for alerts: a secret, so it is in its own file and in no config."""

from __future__ import annotations

from pathlib import Path

WEBHOOK_FILE = Path("secret", "alert-webhook-url")


def write_webhook(folder: Path, url: str | None) -> Path:
    """Write the webhook URL to the file that Alertmanager reads.

    Args:
        folder: the state folder.
        url: the URL; empty for none; None keeps the present one.

    Returns:
        The path of the file.
    """
    path = folder / WEBHOOK_FILE
    # Only the user may enter the folder. The file is readable for all: in a container another user reads it.
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o700)
    if url is not None or not path.exists():
        path.write_text(url or "")
        path.chmod(0o644)
    return path


def read_webhook(folder: Path) -> str:
    """The webhook URL; empty for none.

    Args:
        folder: the state folder.
    """
    try:
        return (folder / WEBHOOK_FILE).read_text().strip()
    except OSError:
        return ""
