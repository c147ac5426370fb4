"""The jobs on trio. It has no lines of its own, so the programs split the data, as its tutorial does."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from bench.servers.common import ASKING, BACKLOG, BLOCK, DELIMITER, HEADER, PONG, Job, jobsOf, tlsContext, total, totals

ANSWER = PONG + DELIMITER


async def linesOf(stream: Any) -> AsyncIterator[bytes]:
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(DELIMITER)
        for line in lines:
            yield line


async def pong(stream: Any) -> None:
    async for _line in linesOf(stream):
        await stream.send_all(ANSWER)


async def answer(line: bytes) -> bytes:
    return ANSWER


async def asynchronous(stream: Any) -> None:
    async for line in linesOf(stream):
        await stream.send_all(await answer(line))


async def asleep(stream: Any) -> None:
    async for line in linesOf(stream):
        await trio.sleep(0)
        await stream.send_all(await answer(line))


async def echo(stream: Any) -> None:
    async for line in linesOf(stream):
        await stream.send_all(line + DELIMITER)


async def count(stream: Any) -> None:
    lines = size = 0
    async for line in linesOf(stream):
        lines += 1
        size += len(line)
    await stream.send_all(totals(lines, size))


CLIENTS: set[Any] = set()


async def chat(stream: Any) -> None:
    CLIENTS.add(stream)
    try:
        async for line in linesOf(stream):
            for client in (stream,) if line == ASKING else list(CLIENTS):
                await client.send_all(line + DELIMITER)
    finally:
        CLIENTS.discard(stream)


async def sink(stream: Any) -> None:
    size = announced = 0
    while not size or size < announced:
        data = await stream.receive_some(262144)
        announced = announced or int(data[:HEADER])
        size += len(data)
    await stream.send_all(total(size))


async def source(stream: Any) -> None:
    asked = b""
    while not asked.endswith(DELIMITER):
        asked += await stream.receive_some()
    left = int(asked)
    while left:
        await stream.send_all(BLOCK[:left])
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


async def closing(handle: Any, stream: Any) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async with stream:
            await handle(stream)


async def echoDatagrams(port: int) -> None:
    sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", port))
    while True:
        data, address = await sock.recvfrom(65536)
        await sock.sendto(data, address)


async def listen(job: Job) -> None:
    if job.name == "udp":
        await echoDatagrams(job.port)
        return
    handler = partial(closing, HANDLERS[job.name])
    options: dict[str, Any] = {"host": "127.0.0.1", "backlog": BACKLOG}
    if job.tls:
        await trio.serve_ssl_over_tcp(handler, job.port, tlsContext(), **options)
    else:
        await trio.serve_tcp(handler, job.port, **options)


async def main() -> None:
    async with trio.open_nursery() as nursery:
        for job in jobsOf(sys.argv[1:]):
            nursery.start_soon(listen, job)


if __name__ == "__main__":
    trio.run(main)
