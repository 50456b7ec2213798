"""The connections of `SQLiteStore` to its file: opened when needed, shared by threads, replaced after a fork."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import lock_at_fork

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Database"]

_OPEN_TIMEOUT: Final = 5.0
"""Seconds to wait for the file when the store is made: its table may have to be created."""

_WRITE_TIMEOUT: Final = 0.25
"""Seconds that a write waits for another writer: a thread of this process, or another process."""

_BACK_OFF: Final = 1.0
"""Seconds after a write that waited in vain, in which no other one is tried."""

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
    """The two connections of this process to one SQLite file: one reads, one writes.

    Each is opened when needed and used by one thread at a time. In WAL mode a reader never waits for a writer; with one
    connection it would wait for the writer of its own process, which waits for that of another.

    Attributes:
        path: The file, as an absolute path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._reader = _Connection(path)
        self._writer = _Connection(path)
        self._busy_until = 0.0
        self._forking_thread = 0
        lock_at_fork(self)

    def open(self) -> None:
        """Open the file and create the table if it is missing.

        Raises:
            sqlite3.Error: The file cannot be opened, or is no SQLite database.
            ValueError: The path holds a null character.
        """
        with self._writer.lock:
            self._writer.connected(_OPEN_TIMEOUT)

    def read(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement that changes nothing, and return its rows."""
        with self._reader.lock:
            return self._reader.connected(_WRITE_TIMEOUT).execute(statement, values).fetchall()

    def write(self, statement: str, *values: Any) -> None:
        """Run one statement as a transaction of its own.

        Raises:
            sqlite3.OperationalError: Another writer holds the file, or held it a moment ago.
        """
        import sqlite3  # noqa: PLC0415 - some builds of Python lack it

        if not self._writer.lock.acquire(timeout=_WRITE_TIMEOUT):
            raise sqlite3.OperationalError(f"{self.path}: another thread is writing: database is locked")
        try:
            # The real time, whatever a test's clock says: this is about other processes.
            if time.monotonic() < self._busy_until:
                raise sqlite3.OperationalError(f"{self.path}: the database was locked a moment ago")
            try:
                self._writer.connected(_WRITE_TIMEOUT).execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                if "locked" in str(error) or "busy" in str(error):
                    self._busy_until = time.monotonic() + _BACK_OFF
                raise
        finally:
            self._writer.lock.release()

    def close(self) -> None:
        """Close the connections for good."""
        self._reader.close()
        self._writer.close()

    def __del__(self) -> None:
        # A connection that the garbage collector closes emits a ResourceWarning.
        with contextlib.suppress(Exception):
            self.close()

    def lock_before_fork(self) -> None:
        """Take the locks; a fork does without if that takes too long.

        No thread may be inside SQLite at the fork: the child could never release the locks that SQLite itself holds
        then.
        """
        if self._writer.lock.acquire(timeout=_OPEN_TIMEOUT):
            if self._reader.lock.acquire(timeout=_OPEN_TIMEOUT):
                self._forking_thread = threading.get_ident()
            else:
                self._writer.lock.release()

    def unlock_after_fork(self) -> None:
        """Release the locks in the parent process, where this thread got them."""
        if self._forking_thread == threading.get_ident():
            self._forking_thread = 0
            self._reader.lock.release()
            self._writer.lock.release()

    def reset_after_fork(self) -> None:
        """Leave the connections of the parent process alone in the child, which opens its own."""
        self._forking_thread = 0
        self._reader.leave_to_parent()
        self._writer.leave_to_parent()


class _Connection:
    """One connection to the file, used under its lock."""

    __slots__ = ("_closed", "_connection", "_path", "lock")

    def __init__(self, path: str) -> None:
        self._path = path
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def connected(self, timeout: float) -> sqlite3.Connection:
        """The connection, opened if there is none. The caller holds the lock.

        Args:
            timeout: Seconds to wait for a lock on the file while it is opened.
        """
        if self._connection is not None:
            return self._connection
        import sqlite3  # noqa: PLC0415 - some builds of Python lack it

        if self._closed:
            raise sqlite3.ProgrammingError(f"{self._path}: this store was closed")
        # isolation_level=None: each statement is a transaction of its own, so that no error leaves one open.
        connection = sqlite3.connect(self._path, timeout=_WRITE_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _execute_when_unlocked(connection, "PRAGMA journal_mode=WAL", timeout)
            # A power cut may lose the last entries, never the file. The entries are only copies.
            connection.execute("PRAGMA synchronous=NORMAL")
            for statement in _SCHEMA.split(";"):
                _execute_when_unlocked(connection, statement, timeout)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def close(self) -> None:
        with self.lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def leave_to_parent(self) -> None:
        self.lock = threading.RLock()
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


def _execute_when_unlocked(connection: sqlite3.Connection, statement: str, timeout: float) -> None:
    """Run a statement, and again while the file is locked: SQLite's own timeout does not cover the change to WAL."""
    import sqlite3  # noqa: PLC0415 - some builds of Python lack it

    # The real time, whatever a test's clock says: this waits for other processes.
    deadline = time.monotonic() + timeout
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
