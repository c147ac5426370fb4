"""Streams of lines for coroutines: asyncio's methods, on the line core, with firm limits.

    reader, writer = await openConnection("127.0.0.1", 7000)
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()

Methods have asyncio's names and meaning. The differences:

- LineReceiver's buffer cuts the lines that have arrived, without the event loop.
- Output is gathered, and sent on the event loop's next turn or when there is much of it. A hundred answers are one
  packet, even with a drain() after each. Output that the peer does not read is bounded, as on every connection
  (OUTPUT_LIMIT), even without drain().
- A line that is too long closes the connection and raises LineTooLong, or is dropped and counted (`overlong="skip"`).
- When the connection breaks, lines that had arrived can still be read. The error comes after them.

A stream is for the coroutines of one event loop. One at a time may read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

from reactor._arguments import checkDelimiter, checkLimit
from reactor._logger import getLogger
from reactor.aio.upgrading import Upgrade, plainBytes
from reactor.error import OutputLimitExceeded
from reactor.interfaces import BytesLike
from reactor.linecore import LineBuffer, asBytes
from reactor.tlsoptions import ContextFactory
from reactor.transports.output import HIGH_WATER, OUTPUT_LIMIT

log = getLogger("reactor.aio")

LIMIT = 64 * 1024

Overlong = Literal["close", "skip"]


class LineTooLong(ValueError):
    """A line is longer than the reader's limit, and the connection has been closed."""


class LineReader:
    """The reading half, with the methods of asyncio.StreamReader.

    - `delimiter` ends a line.
    - `limit` is the longest line, in bytes without its delimiter. Beyond it `overlong` decides: "close", or "skip",
      which drops the line, counts it in `overlongCount`, and goes on.
    - With `keepEnds`, as in asyncio, lines come with their delimiter. Without it, `async for` and readlines() are
      faster.

    TypeError and ValueError for arguments of another kind.
    """

    def __init__(
        self, limit: int = LIMIT, delimiter: bytes = b"\n", overlong: Overlong = "close", keepEnds: bool = True
    ) -> None:
        if overlong not in ("close", "skip"):
            raise ValueError(f'overlong must be "close" or "skip", not {overlong!r}')
        checkDelimiter(delimiter)
        if not delimiter:
            raise ValueError("the delimiter is empty")
        checkLimit(limit, "limit")
        if limit <= 0:
            raise ValueError(f"limit is a number of bytes, 1 or more, not {limit!r}")
        self.delimiter = bytes(delimiter)
        self.limit = limit
        self.overlong = overlong
        self.keepEnds = keepEnds
        self.overlongCount = 0
        self._buffer = LineBuffer(self.delimiter, limit)
        self._end = self.delimiter if keepEnds else b""
        self._highWater = max(2 * limit, HIGH_WATER)
        self._transport: Any = None
        self._isPipe = False
        self._paused = False
        self._ended = False
        self._exception: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<LineReader of {self._transport!r}, {len(self._buffer)} bytes held>"

    # Reading.

    async def readline(self) -> bytes:
        """Return the next line and its delimiter; at the end of the stream the rest, then b"" for ever.

        The line always has its delimiter, as an empty line would look like the end. LineTooLong for a long line,
        OSError if the connection broke.
        """
        for line in self._buffer:
            return line + self.delimiter
        found = await self._nextLine()
        return self._lastLine() if found is None else found + self.delimiter

    async def readlines(self) -> list[bytes]:
        """Return all complete lines that have arrived, at least one; an empty list at the end of the stream.

        The rest of the stream without a delimiter is the last line.
        """
        lines = self._buffer.lines()
        if not lines:
            line = await self._nextLine()
            if line is None:
                rest = self._lastLine()
                return [rest] if rest else []
            lines = [line, *self._buffer.lines()]
        return [line + self.delimiter for line in lines] if self.keepEnds else lines

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give each line in turn; the rest at the end of the stream is the last one."""
        buffer, end, bare = self._buffer, self.delimiter, not self.keepEnds
        while True:
            if bare:
                for line in buffer:
                    yield line
            else:
                for line in buffer:
                    yield line + end
            found = await self._nextLine()
            if found is None:
                break
            yield found if bare else found + end
        rest = self._lastLine()
        if rest:
            yield rest

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Return everything up to and with `separator`.

        asyncio.LimitOverrunError if that is more than the limit. The bytes stay, and readexactly of the error's
        `consumed` bytes reads those that are certainly before the separator. IncompleteReadError, with the rest, at the
        end of the stream.
        """
        checkDelimiter(separator, "a separator")
        if not separator:
            raise ValueError("the separator is empty")
        buffer = self._buffer
        while buffer.skipping and await self._more():
            pass
        buffer.delimiter = separator
        try:
            while True:
                if buffer.exceeded:
                    raise self._overrun(separator)
                found = buffer.cut(separator)
                if found is not None:
                    return found + separator
                if not await self._more():
                    raise asyncio.IncompleteReadError(buffer.take(), None)
        finally:
            buffer.delimiter = self.delimiter

    async def read(self, n: int = -1) -> bytes:
        """Return up to `n` bytes, as soon as there are any; b"" at the end. With -1, everything up to the end."""
        if n < 0:
            pieces = [self._buffer.take()]
            while await self._more():
                pieces.append(self._buffer.take())
            return b"".join(pieces)
        while n and not self._buffer:
            if not await self._more():
                break
        return self._buffer.take(n)

    async def readexactly(self, n: int) -> bytes:
        """Return `n` bytes. asyncio.IncompleteReadError, with the rest, if the stream ends before."""
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        buffer = self._buffer
        while len(buffer) < n:
            if not await self._more():
                raise asyncio.IncompleteReadError(buffer.take(), n)
        return buffer.take(n)

    def at_eof(self) -> bool:
        """Whether the stream has ended and all of it has been read."""
        return self._ended and not self._buffer

    def exception(self) -> BaseException | None:
        """Return the error that broke the connection, or None."""
        return self._exception

    async def _nextLine(self) -> bytes | None:
        """Return the next line without its delimiter, after the buffer gave none; None at the end of the stream."""
        buffer = self._buffer
        while True:
            for line in buffer:
                return line
            if buffer.exceeded:
                self._tooLong()
            elif not await self._more():
                return None

    def _lastLine(self) -> bytes:
        """Return the rest at the end of the stream, which may be too long; b"" if there is none."""
        if len(self._buffer) > self.limit:
            self._tooLong()
        return self._buffer.take()

    def _overrun(self, separator: bytes) -> asyncio.LimitOverrunError:
        held = self._buffer.peek()
        at = held.find(separator)
        if at >= 0:
            return asyncio.LimitOverrunError("the separator is found, but beyond the limit", at)
        begun = len(held) + 1 - len(separator)  # the bytes behind it may begin the separator
        return asyncio.LimitOverrunError("the separator is not found within the limit", begun)

    def _tooLong(self) -> None:
        if self.overlong == "skip":
            self.overlongCount += 1
            self._buffer.skip()
            return
        error = LineTooLong(f"a line has more than {self.limit} bytes")
        self._buffer.clear()
        self.broken(error)
        if self._transport is not None:
            (self._transport.close if self._isPipe else self._transport.abort)()
        raise error

    async def _more(self) -> bool:
        """Wait for data. Return False at the end of the stream."""
        if self._exception is not None:
            raise self._exception
        if self._ended:
            return False
        if self._waiter is not None:
            raise RuntimeError("another coroutine is already waiting for incoming data")
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        return True

    # For the transport, and for tests.

    def attach(self, transport: Any, isPipe: bool = False) -> None:
        """Read from `transport`, which pauses while the reader holds more than twice the limit.

        `isPipe`: it is a pipe that is only read, which no event loop can abort.
        """
        self._transport = transport
        self._isPipe = isPipe
        self._paused = False

    def isFull(self) -> bool:
        """Whether the reader holds more than twice the limit."""
        return len(self._buffer) > self._highWater

    def pauseNoMore(self) -> None:
        """Let the transport read to its end from now on."""
        transport, self._transport = self._transport, None
        if self._paused:
            self._paused = False
            transport.resume_reading()

    def refusePlain(self) -> None:
        """Prepare for TLS. ssl.SSLError, and no more reading, if the reader holds or skips plain bytes."""
        if self._buffer or self._buffer.skipping:
            error = plainBytes()
            self._buffer.clear()
            self.broken(error)
            raise error

    def feed_data(self, data: bytes) -> None:
        """`data` has arrived."""
        if self._exception is not None:
            return
        buffer = self._buffer
        buffer.feed(data)
        self._wake()
        if len(buffer) > self._highWater and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def feed_eof(self) -> None:
        """The stream has ended."""
        self._ended = True
        self._wake()

    def broken(self, error: BaseException) -> None:
        """The connection has broken: reading raises `error` behind the data that has arrived."""
        if self._exception is None:
            self._exception = error
        self.feed_eof()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LineWriter:
    """The writing half, with the methods of asyncio.StreamWriter. `transport` is asyncio's, for all else.

    `isClient` says whether this side has connected, for start_tls.
    """

    def __init__(
        self, transport: Any, reader: LineReader, eventloop: asyncio.AbstractEventLoop, isClient: bool = True
    ) -> None:
        self.transport = transport
        self._reader = reader
        self._eventloop = eventloop
        self._pieces: list[bytes] = []
        self._size = 0
        self._most = HIGH_WATER  # bytes to gather: fewer if OUTPUT_LIMIT is near
        self._blocked = False
        self._isClient = isClient
        self._upgrading = False  # output waits for the handshake
        self._drained: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = eventloop.create_future()

    def __repr__(self) -> str:
        return f"<LineWriter to {self.transport!r}>"

    def write(self, data: BytesLike) -> None:
        """Send `data`, in order. Once the connection is closing, drop it. TypeError unless it is bytes-like."""
        if type(data) is not bytes:
            data = asBytes(data)
        if not self._pieces:
            self._eventloop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._most:
            self.flush()

    def writelines(self, data: Iterable[BytesLike]) -> None:
        """Send the pieces of any iterable."""
        self.write(b"".join(data))

    async def drain(self) -> None:
        """Wait while the peer does not read. An error that broke the connection is raised.

        ConnectionResetError once the connection has ended in any other way, as in asyncio: a loop of write and drain
        ends then.
        """
        self._raiseBroken()
        if self.transport.is_closing():
            await asyncio.sleep(0)  # the end can come meanwhile
        while self._blocked and not self._closed.done():
            if self._drained is None:
                self._drained = self._eventloop.create_future()
            await asyncio.shield(self._drained)
        self._raiseBroken()
        if self._closed.done():
            raise ConnectionResetError("Connection lost")

    def _raiseBroken(self) -> None:
        error = self._reader.exception()
        if error is not None:
            raise error

    def flush(self) -> None:
        """Send as much of the gathered output as the peer takes."""
        if not self._size:
            self._pieces.clear()
            return
        before = self._size - len(self._pieces[-1])
        if self._upgrading and before <= OUTPUT_LIMIT:
            return
        data = b"".join(self._pieces) if before else self._pieces[-1]
        self._pieces.clear()
        self._size = 0
        transport = self.transport
        if transport.is_closing():
            return
        before += transport.get_write_buffer_size()
        if before > OUTPUT_LIMIT:
            log.limited(logging.WARNING, "%r: more than the limit is unsent; the connection is reset", self)
            self._reader.broken(OutputLimitExceeded(f"{before} bytes"))
            transport.abort()
            return
        transport.write(data)
        room = OUTPUT_LIMIT - transport.get_write_buffer_size() if self._blocked else HIGH_WATER
        self._most = min(HIGH_WATER, max(0, room))

    async def start_tls(
        self,
        sslcontext: ContextFactory | None = None,
        *,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        """Go on with TLS: a client if this side has connected, else a server. Return after the handshake.

        `sslcontext` is a context, or an object with getContext(), such as CertificateOptions. For a client, None means
        the system's trust. A client verifies `server_hostname`, else the `hostname` of that object. Earlier output is
        sent in plain. Output written during the handshake comes after it, in TLS. Timeouts are in seconds; None is
        asyncio's default.

        If bytes were received and not read, they are plain, and must not count as protected (CVE-2011-0411):
        ssl.SSLError, and the connection is aborted. An exception of the handshake passes through, and ends the
        connection. ValueError or TypeError for wrong arguments, and RuntimeError if there is TLS already; nothing has
        happened then. ConnectionResetError if the connection has ended.
        """
        if self._upgrading or self.get_extra_info("sslcontext") is not None:
            raise RuntimeError("the stream has TLS already, or is about to have it")
        timeouts = {"ssl_handshake_timeout": ssl_handshake_timeout, "ssl_shutdown_timeout": ssl_shutdown_timeout}
        upgrade = Upgrade(self._isClient, sslcontext, server_hostname, **timeouts)
        self.flush()
        await self.drain()
        self.flush()
        if self.transport.is_closing() or self._upgrading:
            raise ConnectionResetError("Connection lost")
        try:
            self._reader.refusePlain()
            self._upgrading = True
            self.transport = await upgrade.of(self.transport, self._eventloop)
        except BaseException as error:
            self._reader.broken(error if isinstance(error, Exception) else ConnectionAbortedError("TLS did not begin"))
            self.transport.abort()
            self.lost()
            raise
        finally:
            self._upgrading = False
        self._reader.attach(self.transport)
        self.flush()

    def close(self) -> None:
        """Send all output, then close."""
        self.flush()
        self.transport.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed. An error that broke it is raised."""
        await asyncio.shield(self._closed)
        self._raiseBroken()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return bool(self.transport.is_closing())

    def can_write_eof(self) -> bool:
        """Whether our half can end alone: False with TLS."""
        return bool(self.transport.can_write_eof())

    def write_eof(self) -> None:
        """Send all output, then end our half."""
        self.flush()
        self.transport.write_eof()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the extra info `name` of asyncio's transport: "peername", "sockname", "socket", "ssl_object"."""
        return self.transport.get_extra_info(name, default)

    # For the transport.

    def block(self) -> None:
        """The peer does not read."""
        self._blocked = True

    def unblock(self) -> None:
        """The peer reads again."""
        self._blocked = False
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)

    def lost(self, error: Exception | None = None) -> None:
        """The connection is closed. wait_closed() raises `error`, and drain() ConnectionResetError."""
        if not self._closed.done():
            if error is None:
                self._closed.set_result(None)
            else:
                self._closed.set_exception(error)
                self._closed.exception()  # counts as seen: most programs do not wait
        self.unblock()
