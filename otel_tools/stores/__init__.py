"""Stores that keep cached values and rate limits outside the process, and the protocols for stores of your own.

`RedisStore` keeps both; `SQLiteStore` keeps cached values. A class of your own with the methods of `CacheStore` works
as ``Cache(store=...)``, and one with the methods of `RateLimitStore` as ``RateLimit(store=...)``. Importing this module
loads neither redis-py nor sqlite3: each is loaded when its store is made.
"""

from __future__ import annotations

from otel_tools.stores._gcra import Quota, Reservation
from otel_tools.stores._protocols import CacheStore, OnError, RateLimitStore
from otel_tools.stores._redis.store import RedisStore
from otel_tools.stores._sqlite.store import SQLiteStore

__all__ = ["CacheStore", "OnError", "Quota", "RateLimitStore", "RedisStore", "Reservation", "SQLiteStore"]
