"""`SQLiteStore`: a cache in one file, which survives restarts and is shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, get_args

from otel_tools._call.clock import clock
from otel_tools._call.forks import at_fork
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import OnError

if TYPE_CHECKING:
    import sqlite3
    from typing import Self

__all__ = ["SQLiteStore"]

_PATIENCE: Final = 5.0
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
    """Text in a SQLite database, which any number of threads and processes of one machine may share.

    For ``Cache(ttl=..., store=SQLiteStore("answers.db"))``. The file may hold other tables. It must be on a local disk:
    SQLite's locks are not reliable on network file systems.

    A process has one connection, used by one thread at a time: SQLite lets one writer in at a time anyway, an operation
    takes microseconds, and a connection for each thread could not be closed when the thread ends.

    Args:
        path: The file; it is made if there is none, in a folder that exists.
        maxsize: Entries kept, at least 1; the oldest go first. Up to a hundredth more may be there for a moment.
        on_error: What becomes of a call while the file cannot be used: ``local`` goes on without a cache, counted and
            logged; ``raise`` raises the `sqlite3.Error` to the caller.

    Raises:
        ConfigurationError: An option cannot work, or the file cannot be opened or is no SQLite database.
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
        import sqlite3  # noqa: PLC0415 - `import otel_tools` must not need it: some builds of Python come without

        self.maxsize = maxsize
        self.on_error: OnError = on_error
        # Absolute, for the process may go to another folder before it forks or reconnects.
        self._path = os.path.abspath(path)  # noqa: PTH100 - also takes what pathlib would change, such as a final slash
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._writes = 0
        try:
            with self._lock:
                self._open()
        except (sqlite3.Error, ValueError) as error:
            raise ConfigurationError(
                f"SQLiteStore({path!r}): {error}; a file in a writable folder is needed"
            ) from error
        _all.add(self)

    def get(self, key: str) -> str | None:
        """The value under the key; None where there is none, or where it has expired.

        Raises:
            sqlite3.Error: The file cannot be read, or was locked for 5 s.
        """
        rows = self._do("SELECT value FROM otel_tools_cache WHERE key = ? AND expires > ?", key, clock.time())
        return str(rows[0][0]) if rows else None

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Keep the value for so many seconds, in place of any earlier one.

        Raises:
            sqlite3.Error: The file cannot be written, or was locked for 5 s.
        """
        now = clock.time()
        # A new row, so that the row numbers tell the age.
        self._do(
            "INSERT OR REPLACE INTO otel_tools_cache (key, value, expires) VALUES (?, ?, ?)",
            key,
            value,
            now + expires_in,
        )
        with self._lock:
            self._writes += 1
            # Counting takes longer than writing: the larger the store, the more seldom.
            due = self._writes % max(1, self.maxsize // 100) == 0
        if due:
            self._make_room(now)

    def _make_room(self, now: float) -> None:
        ((count,),) = self._do("SELECT count(*) FROM otel_tools_cache")
        if count <= self.maxsize:
            return
        self._do("DELETE FROM otel_tools_cache WHERE expires <= ?", now)
        # What other processes delete meanwhile is counted again here, in the same statement.
        self._do(
            "DELETE FROM otel_tools_cache WHERE id IN (SELECT id FROM otel_tools_cache ORDER BY id "
            "LIMIT max(0, (SELECT count(*) FROM otel_tools_cache) - ?))",
            self.maxsize,
        )

    def delete(self, key: str) -> None:
        """Forget the key, if it is there.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._do("DELETE FROM otel_tools_cache WHERE key = ?", key)

    def clear(self, prefix: str) -> None:
        """Forget all keys that begin with the prefix.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._do("DELETE FROM otel_tools_cache WHERE substr(key, 1, ?) = ?", len(prefix), prefix)

    def count(self, prefix: str) -> int:
        """How many unexpired keys begin with the prefix.

        Raises:
            sqlite3.Error: As `get`.
        """
        rows = self._do(
            "SELECT count(*) FROM otel_tools_cache WHERE expires > ? AND substr(key, 1, ?) = ?",
            clock.time(),
            len(prefix),
            prefix,
        )
        return int(rows[0][0])

    async def aget(self, key: str) -> str | None:
        """As `get`, on a thread of the event loop's."""
        return await asyncio.to_thread(self.get, key)

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`, on a thread of the event loop's."""
        await asyncio.to_thread(self.set, key, value, expires_in)

    async def adelete(self, key: str) -> None:
        """As `delete`, on a thread of the event loop's."""
        await asyncio.to_thread(self.delete, key)

    async def aclear(self, prefix: str) -> None:
        """As `clear`, on a thread of the event loop's."""
        await asyncio.to_thread(self.clear, prefix)

    async def acount(self, prefix: str) -> int:
        """As `count`, on a thread of the event loop's."""
        return await asyncio.to_thread(self.count, prefix)

    def close(self) -> None:
        """Close the file; a cache that goes on using the store finds it away. May be called again."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A connection that is left to the garbage collector warns of itself.
        with contextlib.suppress(Exception):
            self.close()

    def __repr__(self) -> str:
        return f"SQLiteStore({self._path!r}, maxsize={self.maxsize}, on_error={self.on_error!r})"

    def _do(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            connection = self._connection or self._open()
            return connection.execute(statement, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        """A connection to the file and its table. The lock is held."""
        import sqlite3  # noqa: PLC0415 - as above

        if self._closed:
            raise sqlite3.ProgrammingError(f"{self._path}: this store was closed")
        # Without implicit transactions: each statement is one, and none is left open by an error.
        connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _with_patience(connection, "PRAGMA journal_mode=WAL")
            # A power cut may cost the last entries, never the file; they are only copies.
            connection.execute("PRAGMA synchronous=NORMAL")
            for statement in _SCHEMA.split(";"):
                _with_patience(connection, statement)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _with_patience(connection: sqlite3.Connection, statement: str) -> None:
    """Run a statement that may find the file locked: SQLite itself does not wait where it changes to WAL."""
    import sqlite3  # noqa: PLC0415 - as above

    # The real time, whatever the clock of a test says: this waits for other processes.
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


_all: Final[weakref.WeakSet[SQLiteStore]] = weakref.WeakSet()
_locked: Final[list[SQLiteStore]] = []
_inherited: Final[list[sqlite3.Connection]] = []
"""Connections of the parent. SQLite forbids a child to use them and also to close them: they are left alone."""


def _before_fork() -> None:
    # No thread may be inside SQLite, which has locks of its own that a child could never open again.
    for store in list(_all):
        if store._lock.acquire(timeout=_PATIENCE):  # noqa: SLF001 - its own
            _locked.append(store)


def _after_fork_in_parent() -> None:
    while _locked:
        _locked.pop()._lock.release()  # noqa: SLF001 - its own


def _after_fork_in_child() -> None:
    _locked.clear()
    for store in list(_all):
        store._lock = threading.RLock()  # noqa: SLF001 - its own
        if store._connection is not None:  # noqa: SLF001 - its own
            _inherited.append(store._connection)  # noqa: SLF001 - its own
            store._connection = None  # noqa: SLF001 - its own


at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
