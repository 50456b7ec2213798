"""The SQLite file of a store: a connection that reads and one that writes, shared by threads, replaced after a fork."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_tools._call.forks import lock_at_fork
from otel_tools.stores._health import Health

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Connection", "Database"]

T = TypeVar("T")

_OPEN_TIMEOUT: Final = 5.0
"""Seconds that a new store waits for a lock on the file: processes that start together all want to create the table."""

_LOCK_TIMEOUT: Final = 0.25
"""Seconds that an operation waits for a lock that another process holds. Only a writer has to: the file is in WAL."""

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
    """The connections of this process to one SQLite file. Reading never waits for a write, here or in another process.

    Attributes:
        path: The file, as an absolute path.
        reader: The connection that reads.
        writer: The connection that writes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.reader = Connection(path)
        self.writer = Connection(path)

    def open(self) -> None:
        """Open the file and create the table if it is missing.

        Raises:
            sqlite3.Error: The file cannot be opened, or is no SQLite database.
            ValueError: The path holds a null character.
        """
        self.writer.open()
        self.reader.open()

    def close(self) -> None:
        """Close the connections for good."""
        self.reader.close()
        self.writer.close()


class Connection:
    """One connection to the file. It is opened when needed and used by one thread at a time.

    After an error of the file (locked, full, read-only, corrupt) it is left alone for a second. A file that was removed
    or replaced is opened anew.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._health = Health()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False
        self._forking_thread = 0
        lock_at_fork(self)

    def open(self) -> None:
        """Open the file, and create the table if it is missing; see `Database.open`."""
        with self._lock:
            self._opened(_OPEN_TIMEOUT)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement as a transaction of its own, and return its rows.

        Raises:
            sqlite3.Error: The file cannot be used, or could not a moment ago.
        """
        import sqlite3  # noqa: PLC0415 - some builds of Python lack it

        with self._lock:
            # Under the lock: threads that waited for it need not each find out that the file is locked.
            self._check_health()
            try:
                rows = self._opened(_LOCK_TIMEOUT).execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                self._health.record_failure(error)
                raise
            except sqlite3.Error as error:
                # Corrupt, or no database any more; the subclasses are about the statement or its values.
                if type(error) is sqlite3.DatabaseError:
                    self._health.record_failure(error)
                    self._disconnect()
                else:
                    self._health.record_success()
                raise
            self._health.record_success()
            return rows

    async def run(self, operation: Callable[[], T]) -> T:
        """Run an operation in the thread of this connection: the event loop's own threads are for the application."""
        with self._lock:
            if self._executor is None:
                # Its import registers with the operating system for forks, and few programs need it.
                from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - above

                self._executor = ThreadPoolExecutor(1, thread_name_prefix="otel_tools-sqlite")
            executor = self._executor
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(executor, context.run, operation)

    def close(self) -> None:
        """Close the connection for good."""
        with self._lock:
            self._closed = True
            self._disconnect()
            if self._executor is not None:
                self._executor.shutdown(wait=False)
                self._executor = None

    def __del__(self) -> None:
        # A connection that the garbage collector closes emits a ResourceWarning.
        with contextlib.suppress(Exception):
            self.close()

    def _check_health(self) -> None:
        """Raise if the file is to be left alone."""
        if not self._closed and (seconds := self._health.seconds_left()):
            import sqlite3  # noqa: PLC0415 - some builds of Python lack it

            raise sqlite3.OperationalError(
                f"{self._path} could not be used a moment ago and is tried again in {seconds:.3f} s: "
                f"{self._health.last_error}"
            )

    def _opened(self, timeout: float) -> sqlite3.Connection:
        """The connection, opened if there is none, or if the file is another one now. The caller holds the lock."""
        import sqlite3  # noqa: PLC0415 - some builds of Python lack it

        if self._closed:
            raise sqlite3.ProgrammingError(f"{self._path}: this store was closed")
        if self._connection is not None:
            # SQLite goes on with a file that nobody else can see any more.
            if self._file == _identity(self._path):
                return self._connection
            self._disconnect()
        # isolation_level=None: each statement is a transaction of its own, so that no error leaves one open.
        connection = sqlite3.connect(self._path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            _execute_when_unlocked(connection, "PRAGMA journal_mode=WAL", timeout)
            # A power cut may lose the last entries, never the file. The entries are only copies.
            connection.execute("PRAGMA synchronous=NORMAL")
            for statement in _SCHEMA.split(";"):
                _execute_when_unlocked(connection, statement, timeout)
            connection.execute(f"PRAGMA busy_timeout={int(_LOCK_TIMEOUT * 1000)}")
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, _identity(self._path)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def lock_before_fork(self) -> None:
        """Take the lock; a fork does without if that takes too long.

        No thread may be inside SQLite at the fork: the child could never release the locks that SQLite itself holds
        then.
        """
        if self._lock.acquire(timeout=_OPEN_TIMEOUT):
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
        # Its thread is not in the child.
        self._executor = None
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is at the path now; None for none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - pathlib takes three times as long, at each operation
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
