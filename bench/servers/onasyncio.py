"""The jobs on asyncio's event loop and its replacements.

LOOP is asyncio, uvloop, uvloop-two (two processes) or rloop. STYLE is one of these:

- protocol: a protocol that searches a bytearray, and writes an answer a line;
- tuned: the fastest hand-written Python: splits the data, joins the answers, and has no limits;
- streams: coroutines that read a line at a time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any, ClassVar

from bench.servers.common import ASKING, BACKLOG, BLOCK, DELIMITER, HEADER, PONG, Job, jobsOf, tlsContext, total, totals

LOOP, STYLE = sys.argv[1:3] if len(sys.argv) > 2 else ("asyncio", "protocol")
TWO = LOOP.endswith("-two")
ANSWER = PONG + DELIMITER
QUESTION = ASKING + DELIMITER

if LOOP.startswith("uvloop"):
    from uvloop import new_event_loop
elif LOOP == "rloop":
    from rloop import new_event_loop
else:
    from asyncio import new_event_loop


class Lines(asyncio.Protocol):
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        begin = 0
        while (end := buffer.find(DELIMITER, begin)) >= 0:
            self.lineReceived(bytes(buffer[begin:end]))
            begin = end + 2
        del buffer[:begin]

    def lineReceived(self, line: bytes) -> None:
        raise NotImplementedError


class Pong(Lines):
    def lineReceived(self, line: bytes) -> None:
        self.transport.write(ANSWER)


class Echo(Lines):
    def lineReceived(self, line: bytes) -> None:
        self.transport.write(line + DELIMITER)


class Count(Lines):
    lines = size = 0

    def lineReceived(self, line: bytes) -> None:
        self.lines += 1
        self.size += len(line)

    def eof_received(self) -> bool:
        self.transport.write(totals(self.lines, self.size))
        self.transport.close()
        return True


class Chat(Lines):
    clients: ClassVar[set[Any]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.clients.add(transport)

    def lineReceived(self, line: bytes) -> None:
        data = line + DELIMITER
        for transport in (self.transport,) if line == ASKING else self.clients:
            transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.clients.discard(self.transport)


class TunedLines(asyncio.Protocol):
    transport: Any
    rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        lines = data.split(DELIMITER)
        self.rest = lines.pop()
        if lines:
            self.linesReceived(lines)

    def linesReceived(self, lines: list[bytes]) -> None:
        raise NotImplementedError


class TunedPong(TunedLines):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.transport.write(b"".join([ANSWER] * len(lines)))


class TunedEcho(TunedLines):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.transport.write(DELIMITER.join([*lines, b""]))


class TunedCount(TunedLines):
    lines = size = 0

    def linesReceived(self, lines: list[bytes]) -> None:
        self.lines += len(lines)
        self.size += sum(map(len, lines))

    eof_received = Count.eof_received


class Sink(asyncio.Protocol):
    size = announced = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if not self.announced:
            self.announced = int(data[:HEADER])
        if self.size >= self.announced:
            self.transport.write(total(self.size))


class TunedSink(asyncio.BufferedProtocol):
    """Reads into one buffer, again and again."""

    size = announced = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.buffer = bytearray(262144)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.size += nbytes
        if not self.announced:
            self.announced = int(self.buffer[:HEADER])
        if self.size >= self.announced:
            self.transport.write(total(self.size))


class Source(asyncio.Protocol):
    left = 0
    paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.asked = b""

    def data_received(self, data: bytes) -> None:
        self.asked += data
        if self.asked.endswith(DELIMITER):
            self.left = int(self.asked)
            self.send()

    def send(self) -> None:
        while self.left and not self.paused:
            self.transport.write(BLOCK[: self.left])
            self.left -= min(self.left, len(BLOCK))
        if not self.left:
            self.transport.close()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.send()


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


async def pong(reader: Any, writer: Any) -> None:
    while await reader.readline():
        writer.write(ANSWER)
        await writer.drain()


async def echo(reader: Any, writer: Any) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def answer(line: bytes) -> bytes:
    return ANSWER


async def asynchronous(reader: Any, writer: Any) -> None:
    while line := await reader.readline():
        writer.write(await answer(line))
        await writer.drain()


async def asleep(reader: Any, writer: Any) -> None:
    while line := await reader.readline():
        await asyncio.sleep(0)
        writer.write(await answer(line))
        await writer.drain()


async def count(reader: Any, writer: Any) -> None:
    lines = size = 0
    while line := await reader.readline():
        lines += 1
        size += len(line) - 2
    writer.write(totals(lines, size))


CLIENTS: set[Any] = set()


async def chat(reader: Any, writer: Any) -> None:
    CLIENTS.add(writer)
    try:
        while line := await reader.readline():
            for client in (writer,) if line == QUESTION else CLIENTS:
                client.write(line)
            await writer.drain()
    finally:
        CLIENTS.discard(writer)


async def sink(reader: Any, writer: Any) -> None:
    announced = int(await reader.readexactly(HEADER))
    size = HEADER
    while size < announced:
        size += len(await reader.read(262144))
    writer.write(total(size))


async def source(reader: Any, writer: Any) -> None:
    left = int(await reader.readline())
    while left:
        writer.write(BLOCK[:left])
        await writer.drain()
        left -= min(left, len(BLOCK))


PROTOCOLS: dict[str, Any] = {"pong": Pong, "echo": Echo, "count": Count, "chat": Chat, "sink": Sink, "source": Source}
TUNED: dict[str, Any] = {"pong": TunedPong, "echo": TunedEcho, "count": TunedCount, "sink": TunedSink, "source": Source}
STREAMS: dict[str, Any] = {
    "pong": pong,
    "echo": echo,
    "count": count,
    "chat": chat,
    "async": asynchronous,
    "asleep": asleep,
    "sink": sink,
    "source": source,
}


def closing(handle: Any) -> Any:
    async def handler(reader: Any, writer: Any) -> None:
        with suppress(ConnectionError):
            await handle(reader, writer)
        writer.close()

    return handler


async def listen(job: Job) -> None:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"backlog": BACKLOG, "ssl": tlsContext() if job.tls else None, "reuse_port": TWO}
    if job.name == "udp":
        await loop.create_datagram_endpoint(EchoDatagrams, local_addr=("127.0.0.1", job.port))
    elif STYLE == "streams":
        await asyncio.start_server(closing(STREAMS[job.name]), "127.0.0.1", job.port, **options)
    else:
        classes = TUNED if STYLE == "tuned" else PROTOCOLS
        await loop.create_server(classes[job.name], "127.0.0.1", job.port, **options)


async def main() -> None:
    for job in jobsOf(sys.argv[3:]):
        await listen(job)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    if TWO:
        os.fork()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
