"""Servers of streams for tests: NATS JetStream, Redis, and the mock cluster of librdkafka for Kafka.

Each keeps its data in a directory, but for Kafka's, and can be stopped, killed and started again at the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import aiokafka
import nats
import redis.asyncio
from nats.js.api import StreamConfig

from reactor.sinks import IEngine, KafkaEngine, NATSEngine, RedisEngine

DEADLINE = 20.0
HOST = "127.0.0.1"


def freePort() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """A server in a process of its own. `name` is the stream of lines."""

    keepsData = True
    removesDoubles = True
    name = "lines"

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.port = freePort()
        self.process: subprocess.Popen[Any] | None = None
        self.start()

    def command(self) -> list[str]:
        raise NotImplementedError

    def engine(self, **settings: Any) -> IEngine:
        """Return an engine for the stream."""
        raise NotImplementedError

    async def stored(self) -> list[bytes]:
        """Return all lines of the stream, in its order."""
        raise NotImplementedError

    def start(self) -> None:
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        waitUntil(self.isListening)

    def isListening(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1.0):
            return True
        return False

    def stop(self) -> None:
        """Let the process stand still. The signal takes a moment to reach all of its threads."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        waitUntil(
            lambda: all((each / "stat").read_text().rpartition(")")[2].split()[0] == "T" for each in tasks.iterdir())
        )

    def goOn(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.kill()


class NATSServer(Server):
    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def command(self) -> list[str]:
        configuration = self.directory / "nats.conf"
        store = self.directory / "store"
        configuration.write_text(f"jetstream {{ store_dir: '{store}', sync_interval: always }}\nmax_payload: 8192\n")
        program = pathlib.Path(sys.executable).parent / "nats-server"
        return [str(program), "-a", HOST, "-p", str(self.port), "-c", str(configuration)]

    def engine(self, **settings: Any) -> IEngine:
        return NATSEngine(self.url, self.name, "LINES", **settings)

    async def makeStream(self, **settings: Any) -> None:
        client = await nats.connect(self.url)
        await client.jetstream().add_stream(StreamConfig(name="LINES", subjects=[self.name], **settings))
        await client.close()

    async def stored(self) -> list[bytes]:
        client = await nats.connect(self.url)
        try:
            context = client.jetstream()
            state = (await context.stream_info("LINES")).state
            messages = [await context.get_msg("LINES", number) for number in range(1, state.last_seq + 1)]
            return [message.data or b"" for message in messages]
        finally:
            await client.close()


class RedisServer(Server):
    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        settings = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.directory)]
        return ["redis-server", "--bind", HOST, "--port", str(self.port), *settings]

    def engine(self, **settings: Any) -> IEngine:
        return RedisEngine(self.url, self.name, **settings)

    async def entries(self, key: str = "") -> list[Any]:
        client = redis.asyncio.from_url(self.url)
        try:
            return [*(await client.xrange(key or self.name) or ())]
        finally:
            await client.aclose()

    async def stored(self) -> list[bytes]:
        return [fields[b"line"] for _, fields in await self.entries()]


MOCK = """
import sys, time
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
(broker,) = producer.list_topics(timeout=10).brokers.values()
print(broker.port, flush=True)
sys.stdin.read()
"""


class KafkaServer(Server):
    keepsData = False
    removesDoubles = False

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self) -> None:
        super().end()
        assert self.process is not None
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def engine(self, **settings: Any) -> IEngine:
        return KafkaEngine(f"{HOST}:{self.port}", self.name, **settings)

    async def records(self) -> list[Any]:
        consumer = aiokafka.AIOKafkaConsumer(
            self.name, bootstrap_servers=f"{HOST}:{self.port}", auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            found: list[Any] = []
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    async def stored(self) -> list[bytes]:
        return [record.value for record in await self.records()]


def waitUntil(condition: Callable[[], object]) -> None:
    """Look at a condition until it holds; fail at a deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the server does not listen"
        time.sleep(0.02)


async def within(awaitable: Any) -> Any:
    """Wait, at most until the deadline."""
    return await asyncio.wait_for(awaitable, DEADLINE)
