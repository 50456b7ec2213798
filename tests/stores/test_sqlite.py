"""`SQLiteStore`: shared by threads and processes, kept over a restart, bounded in size."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import ConfigurationError
from otel_tools.stores import CacheStore, SQLiteStore
from otel_tools.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with SQLiteStore(path) as store:
        yield store


def test_it_is_a_cache_store(store: SQLiteStore) -> None:
    assert isinstance(store, CacheStore)
    assert store.on_error == "local"


def test_a_value_is_returned_until_it_is_deleted(store: SQLiteStore) -> None:
    assert store.get("a") is None
    store.set("a", "1", 60)
    store.set("a", "2", 60)
    store.set("b", "\N{SNOWMAN}", 60)
    assert (store.get("a"), store.get("b")) == ("2", "\N{SNOWMAN}")
    store.delete("a")
    store.delete("a")
    assert (store.get("a"), store.get("b")) == (None, "\N{SNOWMAN}")


async def test_the_coroutine_functions_do_the_same(store: SQLiteStore) -> None:
    await store.aset("a", "1", 60)
    await store.aset("b", "2", 60)
    assert await store.aget("a") == "1"
    assert await store.acount("") == 2
    await store.adelete("a")
    assert await store.aget("a") is None
    await store.aclear("b")
    assert await store.acount("") == 0


def test_a_value_survives_a_restart(path: Path) -> None:
    with SQLiteStore(path) as store:
        store.set("a", "1", 60)
    with SQLiteStore(str(path)) as store:
        assert store.get("a") == "1"


def test_an_expired_value_is_not_returned_or_counted(store: SQLiteStore) -> None:
    with FakeClock() as clock:
        store.set("a", "1", 10)
        clock.advance(9.5)
        assert (store.get("a"), store.count("")) == ("1", 1)
        clock.advance(0.5)
        assert (store.get("a"), store.count("")) == (None, 0)


@pytest.mark.parametrize("prefix", ["a_", "a%", "a*", "a[", "A", "", "\N{SNOWMAN}a"])
def test_a_prefix_has_no_special_characters(store: SQLiteStore, prefix: str) -> None:
    for key in ("a_1", "a%1", "a*1", "a[1", "ab1", "A1", "\N{SNOWMAN}a1"):
        store.set(key, "1", 60)
    before = store.count("")
    matching = store.count(prefix)
    assert matching == (1 if prefix else before)
    store.clear(prefix)
    assert store.count("") == before - matching
    assert store.count(prefix) == 0


def test_the_oldest_entries_are_removed_first(path: Path) -> None:
    with SQLiteStore(path, maxsize=3) as store:
        for key in "abcad":
            store.set(key, "1", 60)
        assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]


def test_expired_entries_are_removed_before_older_ones(path: Path) -> None:
    with FakeClock() as clock, SQLiteStore(path, maxsize=2) as store:
        store.set("old", "1", 60)
        store.set("short", "1", 1)
        clock.advance(2)
        store.set("new", "1", 60)
        assert (store.get("old"), store.get("new")) == ("1", "1")


def test_the_number_of_entries_stays_within_one_percent_of_maxsize(path: Path) -> None:
    with SQLiteStore(path, maxsize=1_000) as store:
        for number in range(3_000):
            store.set(str(number), "x" * 100, 60)
        assert 1_000 <= store.count("") <= 1_010
        assert store.get("2999") is not None


def test_threads_share_a_store(store: SQLiteStore) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(50):
                store.set(f"{number} {turn}", str(turn), 60)
                assert store.get(f"{number} {turn}") == str(turn)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count("") == 400


PROGRAM = """
import sys
from otel_tools.stores import SQLiteStore
path, me = sys.argv[1:]
with SQLiteStore(path, maxsize=200) as store:
    for turn in range(200):
        store.set(f"{me} {turn}", f"{me} {turn}", 60)
        store.set("shared", me, 60)
        found = store.get(f"{me} {turn}")
        assert found in (None, f"{me} {turn}"), found
        assert store.get("shared") in {None, *"0123"}
"""


def test_processes_that_open_the_file_at_once_share_it(path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    errors = [process.communicate()[1] for process in running]
    assert errors == [""] * 4
    assert [process.returncode for process in running] == [0] * 4
    with SQLiteStore(path, maxsize=200) as store:
        assert 190 <= store.count("") <= 210
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def _in_child(store: SQLiteStore, start: Any) -> None:
    start.wait()
    for turn in range(50):
        store.set(f"{os.getpid()} {turn}", "1", 60)
    assert store.get("parent") == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork")
def test_a_forked_child_has_a_connection_of_its_own(store: SQLiteStore) -> None:
    context = multiprocessing.get_context("fork")
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            store.set("parent", "1", 60)

    store.set("parent", "1", 60)
    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        start = context.Event()
        children = [context.Process(target=_in_child, args=(store, start)) for _ in range(4)]
        for child in children:
            child.start()
        start.set()
        for child in children:
            child.join(60)
    finally:
        stop.set()
        busy.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert store.count("") == 201
    assert store._database.reader.execute("PRAGMA integrity_check") == [("ok",)]


def test_other_tables_in_the_file_are_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("INSERT INTO mine VALUES (1)")
    connection.close()
    with SQLiteStore(path) as store:
        store.set("a", "1", 60)
        store.clear("")
        assert store._database.reader.execute("SELECT x FROM mine") == [(1,)]


def test_a_closed_store_raises_an_error_that_says_so(path: Path) -> None:
    store = SQLiteStore(path)
    store.close()
    store.close()
    with pytest.raises(sqlite3.Error, match="closed"):
        store.get("a")
    with pytest.raises(sqlite3.Error, match="closed"):
        asyncio.run(store.aset("a", "1", 60))


def test_a_file_that_is_no_database_or_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    for path in (text, tmp_path, tmp_path / "missing" / "cache.db"):
        with pytest.raises(ConfigurationError, match="SQLiteStore"):
            SQLiteStore(path)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"path": ":memory:"}, ":memory:"),
        ({"path": ""}, "''"),
        ({"path": 3}, "3"),
        ({"path": "bad\0name"}, "SQLiteStore"),
        ({"path": "x", "maxsize": 0}, "maxsize=0"),
        ({"path": "x", "maxsize": True}, "maxsize=True"),
        ({"path": "x", "maxsize": 1.5}, "maxsize=1.5"),
        ({"path": "x", "on_error": "ignore"}, "on_error='ignore'"),
    ],
)
def test_an_invalid_option_is_refused(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        SQLiteStore(**options)
    assert not Path("x").exists()
