"""Opening streams of lines: clients, servers, and the asyncio protocol of a pair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from reactor._beside import isCoroutine
from reactor._logger import getLogger
from reactor.aio.securing import secureClient, secureServer
from reactor.aio.streams import LIMIT, LineReader, LineWriter, Overlong

log = getLogger("reactor.aio")

Connected = Callable[[LineReader, LineWriter], Coroutine[Any, Any, object] | None]


class _StreamProtocol(asyncio.Protocol):
    """The asyncio protocol of a pair of reader and writer; calls `connected` with the pair."""

    def __init__(self, reader: LineReader, eventloop: asyncio.AbstractEventLoop, connected: Connected | None) -> None:
        self.reader = reader
        self.writer: LineWriter | None = None
        self._eventloop = eventloop
        self._connected = connected
        self._handling: asyncio.Future[object] | None = None
        self.data_received = reader.feed_data  # type: ignore[method-assign]  # a frame less for each read

    def connection_made(self, transport: Any) -> None:
        self.reader.attach(transport)
        self.writer = LineWriter(transport, self.reader, self._eventloop, isClient=self._connected is None)
        if self._connected is not None:
            self._handle(self._connected, self.writer)

    def _handle(self, connected: Connected, writer: LineWriter) -> None:
        try:
            handling = connected(self.reader, writer)
            if handling is not None:
                isCoroutine(handling)  # raises for a generator
                self._handling = asyncio.ensure_future(handling, loop=self._eventloop)
                self._handling.add_done_callback(self._handled)
        except Exception as error:
            self._failed(error)
        except BaseException:
            writer.transport.abort()
            raise

    def _handled(self, handling: asyncio.Future[object]) -> None:
        """The handler's coroutine has ended. End the connection, unless it has returned."""
        assert self.writer is not None
        if handling.cancelled():
            self.writer.close()  # as in asyncio: all output is sent
            return
        error = handling.exception()
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        assert self.writer is not None
        log.error("a handler of %r failed", self.writer, exc_info=error)
        self.writer.transport.abort()

    def eof_received(self) -> bool:
        self.reader.feed_eof()
        assert self.writer is not None
        return self.writer.get_extra_info("sslcontext") is None

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
    """Connect with the event loop's create_connection; return the pair of LineReader and LineWriter.

    The event loop gets `options` (ssl, local_addr, and others). With `path` among them, this connects to that UNIX
    socket. `ssl` is a contextFactory as for connectSSL, for example an optionsForClientTLS(), whose hostname is
    verified. True verifies as connectSSL does without options. The other arguments and their errors are LineReader's.
    """
    eventloop = asyncio.get_running_loop()
    protocol = _StreamProtocol(LineReader(limit, delimiter, overlong, keepEnds), eventloop, None)
    secureClient(options)
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
    """Listen with the event loop's create_server; return its Server.

    `clientConnected(reader, writer)` is called for each connection; a coroutine that it returns becomes a task. An
    exception of either is logged and aborts the connection. A cancelled task closes it when all output is sent. The
    event loop gets `options` (ssl, backlog, and others). With `path` among them, this listens on that UNIX socket.
    `ssl` is a contextFactory as for listenSSL, for example a CertificateOptions. It is asked for each connection, so a
    renewed certificate is served. Wrong arguments are a TypeError or ValueError here, and not with the first
    connection.
    """
    if not callable(clientConnected):
        if isCoroutine(clientConnected):
            clientConnected.close()
        raise TypeError(f"clientConnected is a function of reader and writer, not {clientConnected!r}")
    LineReader(limit, delimiter, overlong, keepEnds)  # refuses wrong arguments now, as each connection's reader would
    secureServer(options)
    eventloop = asyncio.get_running_loop()

    def accepted() -> _StreamProtocol:
        return _StreamProtocol(LineReader(limit, delimiter, overlong, keepEnds), eventloop, clientConnected)

    if "path" in options:
        return await eventloop.create_unix_server(accepted, **options)
    return await eventloop.create_server(accepted, host, port, **options)


async def openUnixConnection(path: Any, **options: Any) -> tuple[LineReader, LineWriter]:
    """Connect to the UNIX socket at `path`. The other arguments are openConnection's."""
    return await openConnection(path=path, **options)


async def startUnixServer(clientConnected: Connected, path: Any, **options: Any) -> asyncio.Server:
    """Listen on the UNIX socket at `path`. The other arguments are startServer's."""
    return await startServer(clientConnected, path=path, **options)
