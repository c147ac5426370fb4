"""Opening streams of lines: clients, servers, and what stands between a pair and its asyncio transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from reactor._logger import getLogger
from reactor.aio.streams import LIMIT, LineReader, LineWriter, Overlong
from reactor.tlsoptions import defaultClientContext

log = getLogger("reactor.aio")

Connected = Callable[[LineReader, LineWriter], Coroutine[Any, Any, object] | None]


class _StreamProtocol(asyncio.Protocol):
    """Between an asyncio transport and a pair; tells `connected` of it."""

    def __init__(self, reader: LineReader, eventloop: asyncio.AbstractEventLoop, connected: Connected | None) -> None:
        self.reader = reader
        self.writer: LineWriter | None = None
        self._eventloop = eventloop
        self._connected = connected
        self._task: asyncio.Task[object] | None = None
        self._secure = False
        self.data_received = reader.feed_data  # type: ignore[method-assign]  # a frame less for each read

    def connection_made(self, transport: Any) -> None:
        self._secure = transport.get_extra_info("sslcontext") is not None
        self.reader.attach(transport)
        self.writer = LineWriter(transport, self.reader, self._eventloop)
        handling = None if self._connected is None else self._connected(self.reader, self.writer)
        if handling is not None:
            self._task = self._eventloop.create_task(_handle(handling, self.writer))

    def eof_received(self) -> bool:
        self.reader.feed_eof()
        return not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.reader.feed_eof()
        else:
            self.reader.broken(exc)
        if self.writer is not None:
            self.writer.lost()

    def pause_writing(self) -> None:
        if self.writer is not None:
            self.writer.block()

    def resume_writing(self) -> None:
        if self.writer is not None:
            self.writer.unblock()


async def _handle(handling: Coroutine[Any, Any, object], writer: LineWriter) -> None:
    """Run a handler; what it raises is logged and costs the connection."""
    try:
        await handling
    except Exception:
        log.exception("a handler of %r failed", writer)
        writer.transport.abort()


async def openConnection(
    host: Any = None,
    port: Any = None,
    *,
    limit: int = LIMIT,
    delimiter: bytes = b"\n",
    overlong: Overlong = "close",
    keepEnds: bool = True,
    **options: Any,
) -> tuple[LineReader, LineWriter]:
    """Connect as the event loop's create_connection does, which gets `options` (ssl, local_addr ...); return the pair.

    With `path` among them, to that UNIX socket. `ssl=True` verifies as connectSSL does without options. The other
    arguments are LineReader's.
    """
    eventloop = asyncio.get_running_loop()
    protocol = _StreamProtocol(LineReader(limit, delimiter, overlong, keepEnds), eventloop, None)
    if options.get("ssl") is True:  # asyncio's own would take a common name for the host's
        options["ssl"] = defaultClientContext()
    if "path" in options:
        await eventloop.create_unix_connection(lambda: protocol, **options)
    else:
        await eventloop.create_connection(lambda: protocol, host, port, **options)
    assert protocol.writer is not None
    return protocol.reader, protocol.writer


async def startServer(
    clientConnected: Connected,
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = LIMIT,
    delimiter: bytes = b"\n",
    overlong: Overlong = "close",
    keepEnds: bool = True,
    **options: Any,
) -> asyncio.Server:
    """Listen as the event loop's create_server does, which gets `options` (ssl, backlog ...); return its Server.

    `clientConnected(reader, writer)` is called for each connection; a coroutine that it returns becomes a task, whose
    failure is logged and closes the connection. With `path` among the options, at that UNIX socket.
    """
    eventloop = asyncio.get_running_loop()

    def accepted() -> _StreamProtocol:
        return _StreamProtocol(LineReader(limit, delimiter, overlong, keepEnds), eventloop, clientConnected)

    if "path" in options:
        return await eventloop.create_unix_server(accepted, **options)
    return await eventloop.create_server(accepted, host, port, **options)
