"""Jobs for the workers of Celery, Dramatiq, RQ and arq, and for a pool of billiard: each calls a tool."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from otel_tools import tool
from tests.interop.hosts.patience import set_up

HOST, WHEN = os.environ["HOST"], os.environ["CONFIGURED"]


@tool
def work() -> int:
    """The number of this process."""
    return os.getpid()


def job(_: int = 0) -> int:
    """Call the tool, and tell the test in a file."""
    number = work()
    with Path(os.environ["FACTS"], str(number)).open("a") as file:
        file.write("done\n")
    return number


if WHEN == "import":
    set_up()

if HOST == "celery":
    from celery import Celery, signals

    folder = os.environ["QUEUE"]
    app = Celery(broker="filesystem://")
    app.conf.broker_transport_options = {
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": folder + "-control",
    }
    task = app.task(name="job")(job)
    if WHEN == "child":
        signals.worker_process_init.connect(set_up)
elif HOST == "dramatiq":
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    dramatiq.set_broker(RedisBroker(url=os.environ["REDIS"]))
    actor = dramatiq.actor(job)
elif HOST == "rq":
    from redis import Redis
    from rq import Queue

    queue = Queue(connection=Redis.from_url(os.environ["REDIS"]))
elif HOST == "billiard":
    import billiard
elif HOST == "arq":
    from arq import create_pool
    from arq.connections import RedisSettings

    async def arq_job(_: Any) -> int:
        """As `job`."""
        return job()

    class WorkerSettings:
        """What the worker reads."""

        functions: ClassVar = [arq_job]
        redis_settings = RedisSettings.from_dsn(os.environ["REDIS"])


def send(count: int) -> None:
    """Queue jobs."""
    if HOST == "arq":
        asyncio.run(send_to_arq(count))
        return
    for _ in range(count):
        if HOST == "celery":
            task.delay()
        elif HOST == "dramatiq":
            actor.send()
        else:
            # Not the function: in this process its module is `__main__`.
            queue.enqueue("tests.interop.hosts.jobs.job")


async def send_to_arq(count: int) -> None:
    """Queue jobs."""
    pool = await create_pool(WorkerSettings.redis_settings)
    for _ in range(count):
        await pool.enqueue_job("arq_job")
    await pool.aclose()


def configured_job() -> None:
    """As `job`, in a process that is not configured yet."""
    set_up()
    job()


def run_billiard(count: int) -> None:
    """Run jobs in a pool and in a process of its own."""
    pool = billiard.Pool(2, initializer=set_up if WHEN == "child" else None)
    pool.map(job, range(count - 1), chunksize=1)
    pool.close()
    pool.join()
    process = billiard.Process(target=job if WHEN == "import" else configured_job)
    process.start()
    process.join()


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(int(sys.argv[2]))
    else:
        run_billiard(int(sys.argv[2]))
