"""The jobs on Tornado's IOStream. It closes a stream whose input has ended, so `count` answers at the last line."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.tcpserver import TCPServer

from bench.servers.common import (
    ASKING,
    BACKLOG,
    BLOCK,
    DELIMITER,
    HEADER,
    LAST,
    PONG,
    jobsOf,
    tlsContext,
    total,
    totals,
)

ANSWER = PONG + DELIMITER
QUESTION = ASKING + DELIMITER


async def pong(stream: Any) -> None:
    while True:
        await stream.read_until(DELIMITER)
        await stream.write(ANSWER)


async def answer(line: bytes) -> bytes:
    return ANSWER


async def asynchronous(stream: Any) -> None:
    while True:
        await stream.write(await answer(await stream.read_until(DELIMITER)))


async def asleep(stream: Any) -> None:
    while True:
        line = await stream.read_until(DELIMITER)
        await asyncio.sleep(0)
        await stream.write(await answer(line))


async def echo(stream: Any) -> None:
    while True:
        await stream.write(await stream.read_until(DELIMITER))


async def count(stream: Any) -> None:
    lines = size = 0
    line = b""
    while line != LAST + DELIMITER:
        line = await stream.read_until(DELIMITER)
        lines += 1
        size += len(line) - 2
    await stream.write(totals(lines, size))


CLIENTS: set[Any] = set()


async def chat(stream: Any) -> None:
    CLIENTS.add(stream)
    try:
        while True:
            line = await stream.read_until(DELIMITER)
            for client in (stream,) if line == QUESTION else CLIENTS:
                client.write(line)
    finally:
        CLIENTS.discard(stream)


async def sink(stream: Any) -> None:
    announced = int(await stream.read_bytes(HEADER))
    size = HEADER
    while size < announced:
        size += len(await stream.read_bytes(262144, partial=True))
    await stream.write(total(size))


async def source(stream: Any) -> None:
    left = int(await stream.read_until(DELIMITER))
    while left:
        await stream.write(BLOCK[:left])
        left -= min(left, len(BLOCK))


HANDLERS: dict[str, Any] = {
    "pong": pong,
    "async": asynchronous,
    "asleep": asleep,
    "echo": echo,
    "count": count,
    "chat": chat,
    "sink": sink,
    "source": source,
}


class Server(TCPServer):
    def __init__(self, handle: Any, **options: Any) -> None:
        super().__init__(**options)
        self.handle = handle

    async def handle_stream(self, stream: Any, address: Any) -> None:
        try:
            stream.set_nodelay(True)
            await self.handle(stream)
        except (StreamClosedError, OSError):
            pass
        stream.close()


async def main() -> None:
    for job in jobsOf(sys.argv[1:]):
        options = {"ssl_options": tlsContext()} if job.tls else {}
        Server(HANDLERS[job.name], **options).listen(job.port, "127.0.0.1", backlog=BACKLOG)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
