"""The connection of `SQLiteStore` to its file: opened when needed, shared by threads, replaced after a fork."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import lock_at_fork

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Database"]

_LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for a lock on the file that another thread or process holds."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS otel_tools_cache (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS otel_tools_cache_expires ON otel_tools_cache (expires);
"""


class Database:
    """The connection of this process to one SQLite file. It is opened when needed and used by one thread at a time.

    Attributes:
        path: The file, as an absolute path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._forking_thread = 0
        lock_at_fork(self)

    def open(self) -> None:
        """Open the file and create the table if it is missing.

        Raises:
            sqlite3.Error: The file cannot be opened, or is no SQLite database.
            ValueError: The path holds a null character.
        """
        with self._lock:
            self._connected()

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement as a transaction of its own, and return its rows."""
        with self._lock:
            return self._connected().execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the connection for good."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __del__(self) -> None:
        # A connection that the garbage collector closes emits a ResourceWarning.
        with contextlib.suppress(Exception):
            self.close()

    def _connected(self) -> sqlite3.Connection:
        """The connection, opened if there is none. The caller holds the lock."""
        if self._connection is not None:
            return self._connection
        import sqlite3  # noqa: PLC0415 - some builds of Python lack it

        if self._closed:
            raise sqlite3.ProgrammingError(f"{self.path}: this store was closed")
        # isolation_level=None: each statement is a transaction of its own, so that no error leaves one open.
        connection = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _execute_when_unlocked(connection, "PRAGMA journal_mode=WAL")
            # A power cut may lose the last entries, never the file. The entries are only copies.
            connection.execute("PRAGMA synchronous=NORMAL")
            for statement in _SCHEMA.split(";"):
                _execute_when_unlocked(connection, statement)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def lock_before_fork(self) -> None:
        """Take the lock; a fork does without if that takes too long.

        No thread may be inside SQLite at the fork: the child could never release the locks that SQLite itself holds
        then.
        """
        if self._lock.acquire(timeout=_LOCK_TIMEOUT):
            self._forking_thread = threading.get_ident()

    def unlock_after_fork(self) -> None:
        """Release the lock in the parent process, where this thread got it."""
        if self._forking_thread == threading.get_ident():
            self._forking_thread = 0
            self._lock.release()

    def reset_after_fork(self) -> None:
        """Leave the connection of the parent process alone in the child, which opens one of its own."""
        self._forking_thread = 0
        self._lock = threading.RLock()
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


def _execute_when_unlocked(connection: sqlite3.Connection, statement: str) -> None:
    """Run a statement, and again while the file is locked: SQLite's own timeout does not cover the change to WAL."""
    import sqlite3  # noqa: PLC0415 - some builds of Python lack it

    # The real time, whatever a test's clock says: this waits for other processes.
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


_inherited: Final[list[sqlite3.Connection]] = []
"""Connections of the parent process. SQLite forbids a child to use or close them: they are kept and not touched."""
