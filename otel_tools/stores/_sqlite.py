"""`SQLiteStore`: cached values in a SQLite file that survives restarts and is shared by the processes of a machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, get_args

from otel_tools._call.clock import clock
from otel_tools._call.forks import lock_at_fork
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import OnError

if TYPE_CHECKING:
    import sqlite3
    from typing import Self

__all__ = ["SQLiteStore"]

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


class SQLiteStore:
    """A store of cached values in a SQLite file, shared by any number of threads and processes of one machine.

    For ``Cache(ttl=..., store=SQLiteStore("answers.db"))``. The file may hold other tables. It must be on a local disk:
    SQLite's locks are not reliable on network file systems.

    A process has one connection, used by one thread at a time. SQLite allows only one writer at a time anyway, and an
    operation takes microseconds. A connection for each thread could not be closed when the thread ends.

    Args:
        path: The file. It is created if it is missing, in a folder that exists.
        maxsize: The number of entries to keep, at least 1; the oldest are removed first. The file may hold up to 1 %
            more for a moment.
        on_error: What happens to a call while the file cannot be used. ``local``: the call continues without the
            cache, counted and logged. ``raise``: the call fails with the `sqlite3.Error`.

    Raises:
        ConfigurationError: An argument is invalid, or the file cannot be opened or is no SQLite database.
    """

    def __init__(self, path: str | os.PathLike[str], maxsize: int = 10_000, on_error: OnError = "local") -> None:
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
            raise ConfigurationError(
                f"SQLiteStore(maxsize={maxsize!r}): a whole number of entries, at least 1, is needed"
            )
        if on_error not in get_args(OnError):
            raise ConfigurationError(f"SQLiteStore(on_error={on_error!r}): 'local' or 'raise' is needed")
        if not isinstance(path, (str, os.PathLike)) or os.fspath(path) in {"", ":memory:"}:
            raise ConfigurationError(
                f"SQLiteStore({path!r}): the path of a file is needed; for memory, leave out store= of the Cache"
            )
        import sqlite3  # noqa: PLC0415 - `import otel_tools` must not need it: some builds of Python lack it

        self.maxsize = maxsize
        self.on_error: OnError = on_error
        # Absolute: the process may change its folder before it forks or reconnects.
        # os.path.abspath: pathlib would also change other things, such as a final slash.
        self._database = _Database(os.path.abspath(path))  # noqa: PTH100 - see above
        self._writes = itertools.count(1)
        try:
            self._database.open()
        except (sqlite3.Error, ValueError) as error:
            raise ConfigurationError(
                f"SQLiteStore({path!r}): {error}; a file in a writable folder is needed"
            ) from error

    def get(self, key: str) -> str | None:
        """Return the value under the key; None if there is none or it has expired.

        Raises:
            sqlite3.Error: The file cannot be read, or was locked for 5 s.
        """
        rows = self._database.execute(
            "SELECT value FROM otel_tools_cache WHERE key = ? AND expires > ?", key, clock.time()
        )
        return str(rows[0][0]) if rows else None

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Write the value, in place of any earlier one.

        Args:
            key: Any text.
            value: Any text.
            expires_in: Seconds, above 0, after which `get` no longer returns the value.

        Raises:
            sqlite3.Error: The file cannot be written, or was locked for 5 s.
        """
        now = clock.time()
        # REPLACE writes a new row, so that row ids are in the order of age.
        self._database.execute(
            "INSERT OR REPLACE INTO otel_tools_cache (key, value, expires) VALUES (?, ?, ?)",
            key,
            value,
            now + expires_in,
        )
        # Counting the rows takes longer than writing one: it is done once for every hundredth of maxsize.
        if next(self._writes) % max(1, self.maxsize // 100) == 0:
            self._evict(now)

    def _evict(self, now: float) -> None:
        """Remove expired rows, and then the oldest, if there are more than ``maxsize``."""
        ((count,),) = self._database.execute("SELECT count(*) FROM otel_tools_cache")
        if count <= self.maxsize:
            return
        self._database.execute("DELETE FROM otel_tools_cache WHERE expires <= ?", now)
        # Counted again in the same statement: other processes may have deleted rows since.
        self._database.execute(
            "DELETE FROM otel_tools_cache WHERE id IN (SELECT id FROM otel_tools_cache ORDER BY id "
            "LIMIT max(0, (SELECT count(*) FROM otel_tools_cache) - ?))",
            self.maxsize,
        )

    def delete(self, key: str) -> None:
        """Remove the key; a missing key is no error.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._database.execute("DELETE FROM otel_tools_cache WHERE key = ?", key)

    def clear(self, prefix: str) -> None:
        """Remove all keys that begin with the prefix. Every key begins with the empty prefix.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._database.execute("DELETE FROM otel_tools_cache WHERE substr(key, 1, ?) = ?", len(prefix), prefix)

    def count(self, prefix: str) -> int:
        """Return the number of unexpired keys that begin with the prefix.

        Raises:
            sqlite3.Error: As `get`.
        """
        rows = self._database.execute(
            "SELECT count(*) FROM otel_tools_cache WHERE expires > ? AND substr(key, 1, ?) = ?",
            clock.time(),
            len(prefix),
            prefix,
        )
        return int(rows[0][0])

    async def aget(self, key: str) -> str | None:
        """As `get`, in a worker thread of the event loop."""
        return await asyncio.to_thread(self.get, key)

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`, in a worker thread of the event loop."""
        await asyncio.to_thread(self.set, key, value, expires_in)

    async def adelete(self, key: str) -> None:
        """As `delete`, in a worker thread of the event loop."""
        await asyncio.to_thread(self.delete, key)

    async def aclear(self, prefix: str) -> None:
        """As `clear`, in a worker thread of the event loop."""
        await asyncio.to_thread(self.clear, prefix)

    async def acount(self, prefix: str) -> int:
        """As `count`, in a worker thread of the event loop."""
        return await asyncio.to_thread(self.count, prefix)

    def close(self) -> None:
        """Close the file. Operations of a closed store raise `sqlite3.Error`. May be called more than once."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SQLiteStore({self._database.path!r}, maxsize={self.maxsize}, on_error={self.on_error!r})"


class _Database:
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
        import sqlite3  # noqa: PLC0415 - as in SQLiteStore

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
    import sqlite3  # noqa: PLC0415 - as in SQLiteStore

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
