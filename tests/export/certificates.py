"""Certificates made by ``openssl`` for a test: an authority, and servers and clients that it signed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authority", "Certificate"]


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key."""

    file: Path
    key: Path


class Authority:
    """An authority that signs certificates for 127.0.0.1.

    Args:
        folder: Where its files are made.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        self._run(
            "req", "-x509", "-days", "2", "-subj", "/CN=test", "-keyout", self._key, "-out", self.file, *_NEW_KEY,
            # From Python 3.13 on, certificates are checked strictly (RFC 5280).
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def sign(self, name: str, days: int = 2) -> Certificate:
        """A certificate that is valid for as many days from now; one of -1 days has expired."""
        file, key, request, extensions = (
            self._folder / f"{name}.{suffix}" for suffix in ("pem", "key", "csr", "extensions")
        )
        self._run("req", "-subj", f"/CN={name}", "-keyout", key, "-out", request, *_NEW_KEY)
        extensions.write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=critical,CA:FALSE\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        signed = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions)
        self._run("x509", "-req", "-in", request, "-days", str(days), "-out", file, *signed)
        return Certificate(file, key)

    @staticmethod
    def _run(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)  # noqa: S607 - on the PATH


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
