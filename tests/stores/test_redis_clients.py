"""`RedisStore` with clients of the application: of one server, a pool, a real Sentinel and a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, ConfigurationError, RateLimit, RateLimited, tool
from otel_tools.stores import Quota, RedisStore, Reservation
from tests.stores.conftest import RedisServer, free_ports, running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_tools.testing import Captured
    from tests.conftest import Flavour

redis = pytest.importorskip("redis")
aredis = pytest.importorskip("redis.asyncio")

SECOND = 10**9
TEXTS = ("", "text", "Grüße \N{PARTY POPPER}", "\ud800 alone", "\0*[x]?\\")


def check_everything(store: RedisStore, both: Flavour, close: Callable[[], Any]) -> None:
    """Use each operation of a store, by sync or by async tools, in one event loop, and close its connections."""

    async def run(operation: str, *args: Any) -> Any:
        if both.name == "sync":
            return getattr(store, operation)(*args)
        return await getattr(store, f"a{operation}")(*args)

    async def main() -> None:
        for text in TEXTS:
            assert await run("get", text) is None
            await run("set", text, text, 60)
            assert await run("get", text) == text
        assert await run("count", "") == len(TEXTS)
        await run("delete", "text")
        await run("delete", "text")
        assert await run("get", "text") is None
        for number in range(1100):
            await run("set", f"many:{number}", "", 60)
        assert await run("count", "many:") == 1100
        await run("clear", "many:")
        assert await run("count", "") == len(TEXTS) - 1
        await run("clear", "")
        one, two = ("one", Quota.of(2, 1000, 2)), ("two", Quota.of(1, 1000, 1))
        assert await run("reserve", *one, 0) is Reservation.after(0)
        assert await run("reserve_all", [one, two], 0) == (Reservation.after(0), 0)
        refused, index = await run("reserve_all", [one, two], 0)
        assert (refused.granted, index) == (False, 1)
        waiting = await run("reserve", *two, None)
        waiting.cancel()
        for _ in range(1000):
            if (await run("reserve", *two, 1001 * SECOND)).granted:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it was not given back")
        closing = close()
        if both.name == "async":
            await closing

    asyncio.run(main())


@pytest.mark.parametrize("decode", [True, False], ids=["text", "bytes"])
@pytest.mark.parametrize("form", ["client", "pool", "keyword"])
def test_a_client_or_pool_takes_the_place_of_a_url(
    redis_server: RedisServer, both: Flavour, form: str, *, decode: bool
) -> None:
    options: dict[str, Any] = {"decode_responses": decode, "encoding_errors": "surrogatepass"}
    module = redis if both.name == "sync" else aredis
    pool = module.ConnectionPool.from_url(redis_server.url, **options)
    client = module.Redis(connection_pool=pool)
    store = {
        "client": lambda: RedisStore(client, "mine"),
        "pool": lambda: RedisStore(pool, "mine"),
        "keyword": lambda: RedisStore(client=client, prefix="mine"),
    }[form]()
    store.close()
    if both.name == "sync":
        assert client.ping(), "the application closes its client"
    check_everything(store, both, pool.disconnect)
    assert f"127.0.0.1:{redis_server.port}" in repr(store)


def test_async_tools_use_a_sync_client_in_threads(seen: Captured, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        store = RedisStore(client)

        @tool(rate_limit=RateLimit(50, per=1000, max_wait=0, store=store), cache=Cache(60, store=store))
        async def work(number: int) -> int:
            return number

        async def main() -> list[Any]:
            return await asyncio.gather(*(work(number) for number in range(60)), return_exceptions=True)

        results = asyncio.run(main())
        assert sum(isinstance(result, RateLimited) for result in results) == 10
        assert asyncio.run(work(results[0])) == results[0]
        assert work.tool.stats().store_errors == 0
        assert work.tool.stats().cache.hit == 1


def test_both_clients_serve_both_kinds_of_tools(redis_server: RedisServer) -> None:
    client, async_client = redis.Redis.from_url(redis_server.url), aredis.Redis.from_url(redis_server.url)
    store = RedisStore(client, async_client=async_client)
    limit = RateLimit(2, per=1000, max_wait=0, store=store, name="shared")

    async def awork() -> int:
        return 1

    sync_tool, async_tool = tool(name="one", rate_limit=limit)(lambda: 1), tool(name="two", rate_limit=limit)(awork)

    async def main() -> None:
        assert sync_tool() == await async_tool() == 1
        with pytest.raises(RateLimited):
            await async_tool()
        await async_client.aclose()

    asyncio.run(main())
    client.close()


def test_a_sync_tool_with_an_async_client_alone_is_refused(redis_server: RedisServer) -> None:
    store = RedisStore(aredis.Redis.from_url(redis_server.url))
    for options in ({"cache": Cache(60, store=store)}, {"rate_limit": RateLimit(1, store=store)}):
        with pytest.raises(ConfigurationError, match=r"tool 'work'.*sync"):
            tool(name="work", **options)(lambda: 1)
    with pytest.raises(ConfigurationError, match="sync"):
        RateLimit(1, store=store, name="by hand").acquire()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: RedisStore(redis.Redis), "url="),
        (lambda: RedisStore(object()), "url="),
        (lambda: RedisStore(client="redis://localhost"), "client='redis://localhost'"),
        (lambda: RedisStore("redis://localhost", client=redis.Redis()), "not both"),
        (lambda: RedisStore(redis.Redis(), async_client=redis.Redis()), "redis.asyncio"),
        (lambda: RedisStore(aredis.Redis(), async_client=aredis.Redis()), "both are async"),
    ],
)
def test_what_is_no_client_is_refused(make: Callable[[], Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make()
    assert complaint in str(error.value)


def test_neither_the_log_nor_an_error_shows_a_clients_password() -> None:
    never = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    store = RedisStore(redis.Redis(host="127.0.0.1", port=1, password="not" + "-shown", username="me", retry=never))
    assert "shown" not in repr(store)
    assert "127.0.0.1:1" in repr(store)
    with pytest.raises(redis.exceptions.ConnectionError):
        store.get("key")
    with pytest.raises(redis.exceptions.ConnectionError, match="a moment ago") as left_alone:
        store.get("key")
    assert "shown" not in str(left_alone.value)


@pytest.fixture
def redis_cluster(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Three nodes of a cluster, which share the slots."""
    with contextlib.ExitStack() as running:
        nodes: list[RedisServer] = []
        ports = free_ports(6)
        for number, (port, bus) in enumerate(zip(ports[:3], ports[3:], strict=True)):
            folder = tmp_path / str(number)
            folder.mkdir()
            options = ("", "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000")
            nodes.append(running.enter_context(running_redis(folder, options, port)))
        clients = [running.enter_context(redis.Redis(port=node.port)) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTSRANGE", 5461 * number, 5461 * (number + 1) - (number < 2))
            if number:
                client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], ports[3])
        ready = {"cluster_state": "ok", "cluster_known_nodes": "3"}
        until(lambda: all(ready.items() <= client.execute_command("CLUSTER INFO").items() for client in clients))
        yield nodes


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_keeps_values_and_limits(seen: Captured, redis_cluster: list[RedisServer], both: Flavour) -> None:
    port = redis_cluster[0].port
    client = redis.RedisCluster("127.0.0.1", port) if both.name == "sync" else aredis.RedisCluster("127.0.0.1", port)
    store = RedisStore(client)
    check_everything(store, both, client.close if both.name == "sync" else client.aclose)
    if both.name == "sync":
        limits = [
            RateLimit(3, per=1000, max_wait=0, store=store, name="all"),
            RateLimit(2, per=1000, max_wait=0, store=store, name="user", key=lambda args: args["user"]),
        ]
        work = tool(name="work", rate_limit=limits)(lambda user: user)
        assert [work("ann"), work("ann"), work("bob")] == ["ann", "ann", "bob"]
        with pytest.raises(RateLimited):
            work("eve")
        assert work.tool.stats().store_errors == 0
        client.close()


def test_a_part_of_a_cluster_that_is_gone_delays_a_call_once(redis_cluster: list[RedisServer]) -> None:
    client = redis.RedisCluster("127.0.0.1", redis_cluster[0].port, socket_timeout=0.5, socket_connect_timeout=0.5)
    store = RedisStore(client)
    work = tool(name="work", rate_limit=RateLimit(1000, store=store))(lambda: 1)
    assert work() == 1
    for node in redis_cluster:
        node.kill()
    work()
    began = time.monotonic()
    for _ in range(20):
        assert work() == 1
    assert time.monotonic() - began < 0.9
    assert work.tool.stats().store_errors >= 20


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A Sentinel, a master that it watches, and its replica."""
    folders = [tmp_path / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    with running_redis(folders[0]) as master:
        replica_of = ("", "--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")
        with running_redis(folders[1], replica_of) as replica, redis.Redis(port=replica.port) as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
            options = folders[2] / "sentinel.conf"
            options.write_text(
                f"sentinel monitor mine 127.0.0.1 {master.port} 1\n"
                "sentinel down-after-milliseconds mine 500\n"
                "sentinel failover-timeout mine 3000\n"
            )
            with running_redis(folders[2], (str(options), "--sentinel")) as watching:
                with redis.Redis(port=watching.port) as asked:
                    until(lambda: len(asked.execute_command("SENTINEL REPLICAS", "mine")) == 1)
                yield watching, master, replica


def test_after_a_failover_the_replica_is_used(
    seen: Captured, sentinel: tuple[RedisServer, RedisServer, RedisServer], both: Flavour
) -> None:
    watching, master, _ = sentinel
    where: dict[str, Any] = {"socket_timeout": 0.5}
    module = redis if both.name == "sync" else aredis
    found = module.sentinel.Sentinel([("127.0.0.1", watching.port)], **where)
    client = found.master_for("mine", **where)
    store = RedisStore(client)
    decorated = tool(name=f"work_{both.name}", rate_limit=RateLimit(10_000, store=store))(both.function(lambda: 1))

    async def call() -> None:
        assert (decorated() if both.name == "sync" else await decorated()) == 1

    async def main() -> None:
        await call()
        before = decorated.tool.stats().store_errors
        assert before == 0
        master.kill()
        deadline = time.monotonic() + 60
        clean = 0
        while clean < 5:
            assert time.monotonic() < deadline
            errors = decorated.tool.stats().store_errors
            await call()
            clean = clean + 1 if decorated.tool.stats().store_errors == errors else 0
            await asyncio.sleep(0.05)
        assert decorated.tool.stats().store_errors > 0
        assert decorated.tool.stats().calls.error == 0
        if both.name == "async":
            await client.aclose()
            for each in found.sentinels:
                await each.aclose()

    asyncio.run(main())
