"""`SQLiteStore`: cached values in a SQLite file that survives restarts and is shared by the processes of a machine."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, get_args

from otel_tools._call.clock import clock
from otel_tools._option_names import check_option_names
from otel_tools.errors import ConfigurationError
from otel_tools.stores._protocols import OnError
from otel_tools.stores._sqlite.database import Database

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SQLiteStore"]


@check_option_names
class SQLiteStore:
    """A store of cached values in a SQLite file, shared by any number of threads and processes of one machine.

    For ``Cache(ttl=..., store=SQLiteStore("answers.db"))``. The file may hold other tables. It must be on a local disk:
    SQLite's locks are not reliable on network file systems.

    A process has one connection that reads and one that writes, each used by one thread at a time; async tools use a
    thread of each. An operation takes microseconds. Reading never waits for a writer: the file is in SQLite's WAL mode.
    A write waits for that of another process for a quarter of a second at most. After that, and after any other error
    of the file (full disk, read-only, corrupt), writing or reading is not tried for one second; every call in between
    is counted in ``otel_tools.store.errors``. A file that was removed is created anew: remove ``-wal`` and ``-shm``
    beside it, too.

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
        self._database = Database(os.path.abspath(path))  # noqa: PTH100 - see above
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
            sqlite3.Error: The file cannot be read, or could not a moment ago.
        """
        rows = self._database.reader.execute(
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
            sqlite3.Error: The file cannot be written, or could not a moment ago.
        """
        now = clock.time()
        # REPLACE writes a new row, so that row ids are in the order of age.
        self._database.writer.execute(
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
        ((count,),) = self._database.writer.execute("SELECT count(*) FROM otel_tools_cache")
        if count <= self.maxsize:
            return
        self._database.writer.execute("DELETE FROM otel_tools_cache WHERE expires <= ?", now)
        # Counted again in the same statement: other processes may have deleted rows since.
        self._database.writer.execute(
            "DELETE FROM otel_tools_cache WHERE id IN (SELECT id FROM otel_tools_cache ORDER BY id "
            "LIMIT max(0, (SELECT count(*) FROM otel_tools_cache) - ?))",
            self.maxsize,
        )

    def delete(self, key: str) -> None:
        """Remove the key; a missing key is no error.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._database.writer.execute("DELETE FROM otel_tools_cache WHERE key = ?", key)

    def clear(self, prefix: str) -> None:
        """Remove all keys that begin with the prefix. Every key begins with the empty prefix.

        Raises:
            sqlite3.Error: As `set`.
        """
        self._database.writer.execute("DELETE FROM otel_tools_cache WHERE substr(key, 1, ?) = ?", len(prefix), prefix)

    def count(self, prefix: str) -> int:
        """Return the number of unexpired keys that begin with the prefix.

        Raises:
            sqlite3.Error: As `get`.
        """
        rows = self._database.reader.execute(
            "SELECT count(*) FROM otel_tools_cache WHERE expires > ? AND substr(key, 1, ?) = ?",
            clock.time(),
            len(prefix),
            prefix,
        )
        return int(rows[0][0])

    async def aget(self, key: str) -> str | None:
        """As `get`, in a thread of the store."""
        return await self._database.reader.run(lambda: self.get(key))

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        """As `set`, in a thread of the store."""
        await self._database.writer.run(lambda: self.set(key, value, expires_in))

    async def adelete(self, key: str) -> None:
        """As `delete`, in a thread of the store."""
        await self._database.writer.run(lambda: self.delete(key))

    async def aclear(self, prefix: str) -> None:
        """As `clear`, in a thread of the store."""
        await self._database.writer.run(lambda: self.clear(prefix))

    async def acount(self, prefix: str) -> int:
        """As `count`, in a thread of the store."""
        return await self._database.reader.run(lambda: self.count(prefix))

    def close(self) -> None:
        """Close the file. Operations of a closed store raise `sqlite3.Error`. May be called more than once."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Its connections stay in the process.
        return SQLiteStore, (self._database.path, self.maxsize, self.on_error)

    def __repr__(self) -> str:
        return f"SQLiteStore({self._database.path!r}, maxsize={self.maxsize}, on_error={self.on_error!r})"
