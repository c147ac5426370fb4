"""Standard input and output as a pair of LineReader and LineWriter.

Other processes share the two files, so O_NONBLOCK is never set on them, and nothing blocks: transports.sharing says
how. asyncio's connect_read_pipe sets it, refuses regular files, and does not work on most consoles of Windows. An event
loop that cannot watch descriptors, as on Windows, gets a thread for each half.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor._numbers import duplicate, statOpen
from reactor.aio.processes import PIPE_LIMIT
from reactor.aio.streams import LineReader, LineWriter, Overlong
from reactor.transports.output import HIGH_WATER
from reactor.transports.sharing import SharedDescriptor

READ_SIZE = 256 * 1024


class _Input:
    """Reads a descriptor by the event loop, for a LineReader."""

    def __init__(self, fd: int, reader: LineReader, eventloop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = SharedDescriptor(fd, os.O_RDONLY)
        self._reader = reader
        self._eventloop = eventloop
        self._watchable = True
        self._reading = False
        reader.attach(self, isPipe=True)
        self.resume_reading()

    def __repr__(self) -> str:
        return f"<input {self._descriptor.given}>"

    def pause_reading(self) -> None:
        self._reading = False
        if self._watchable:
            self._eventloop.remove_reader(self._descriptor.fd)

    def resume_reading(self) -> None:
        if self._reading or self._descriptor.fd < 0:
            return
        self._reading = True
        if self._watchable:
            try:
                self._eventloop.add_reader(self._descriptor.fd, self._ready)
                return
            except PermissionError:  # a file, which is always ready
                self._watchable = False
        self._eventloop.call_soon(self._again)

    def _again(self) -> None:
        if self._reading:
            self._ready()
            self._eventloop.call_soon(self._again)

    def _ready(self) -> None:
        try:
            data = self._descriptor.read(READ_SIZE)
        except OSError as error:
            # A terminal whose other side has hung up reports its end with EIO.
            if error.errno != errno.EIO:
                self._reader.broken(error)
            self.close()
            return
        if data:
            self._reader.feed_data(data)
        elif data is not None:
            self.close()

    def close(self) -> None:
        if self._descriptor.fd >= 0:
            self.pause_reading()
            self._descriptor.close(giveWay=True)
            self._reader.feed_eof()


class _Output(asyncio.Transport):
    """Writes to a descriptor by the event loop, for a LineWriter."""

    def __init__(self, fd: int, eventloop: asyncio.AbstractEventLoop) -> None:
        super().__init__({"pipe": fd})
        self.writer: Any = None
        self.input: Any = None
        self._descriptor = SharedDescriptor(fd, os.O_WRONLY)
        self._eventloop = eventloop
        self._waiting = bytearray()
        self._watched = False
        self._closing = False
        self._isFull = False

    def __repr__(self) -> str:
        return f"<output {self._descriptor.given}>"

    def write(self, data: Any) -> None:
        if self._closing:
            return
        if not self._waiting:
            sent = self._send(data)
            if sent == len(data) or self._closing:
                return
            with memoryview(data) as view, view[sent:] as rest:
                self._waiting += rest
        else:
            self._waiting += data
        self._watch()
        if len(self._waiting) > HIGH_WATER and not self._isFull:
            self._isFull = True
            self.writer.block()

    def _send(self, data: Any) -> int:
        try:
            return self._descriptor.write(data)
        except OSError as error:
            self._lost(error)
            return 0

    def _watch(self) -> None:
        if self._watched:
            return
        self._watched = True
        try:
            self._eventloop.add_writer(self._descriptor.fd, self._ready)
        except PermissionError:  # a file, which is always ready
            self._eventloop.call_soon(self._again)

    def _again(self) -> None:
        if self._watched:
            self._ready()
            if self._watched:
                self._eventloop.call_soon(self._again)

    def _ready(self) -> None:
        sent = self._send(self._waiting)
        del self._waiting[:sent]
        if self._waiting:
            return
        self._unwatch()
        if self._closing:
            self._lost(None)
        elif self._isFull:
            self._isFull = False
            self.writer.unblock()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            with suppress(PermissionError):
                self._eventloop.remove_writer(self._descriptor.fd)

    def _lost(self, error: OSError | None) -> None:
        self._closing = True
        self._waiting.clear()
        if self._descriptor.fd >= 0:
            self._unwatch()
            self._descriptor.close(giveWay=True)
            self.writer.lost(error)

    def close(self) -> None:
        self.input.close()
        self.write_eof()

    def abort(self) -> None:
        self.input.close()
        self._lost(None)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._waiting:
                self._lost(None)


class _ThreadInput:
    """Reads a descriptor in a thread, for a LineReader. A read that has begun cannot be taken back."""

    def __init__(self, fd: int, reader: LineReader, eventloop: asyncio.AbstractEventLoop) -> None:
        self._fd = duplicate(fd)  # the program may close the number given
        self._reader = reader
        self._eventloop = eventloop
        self._mayRead = threading.Event()
        self._mayRead.set()
        self._paused = False
        self._closed = False
        reader.attach(self, isPipe=True)
        threading.Thread(target=self._run, name="openStdio input", daemon=True).start()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            self._readAll()
        os.close(self._fd)

    def _readAll(self) -> None:
        while True:
            self._mayRead.wait()
            try:
                data = os.read(self._fd, READ_SIZE)
            except OSError as error:
                self._eventloop.call_soon_threadsafe(self._reader.broken, error)
                return
            if self._closed or not data:
                self._eventloop.call_soon_threadsafe(self.close)
                return
            self._mayRead.clear()  # until the event loop has taken this, which may stand still
            self._eventloop.call_soon_threadsafe(self._take, data)

    def _take(self, data: bytes) -> None:
        self._reader.feed_data(data)
        if not self._paused:
            self._mayRead.set()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._mayRead.set()

    def close(self) -> None:
        self._closed = True
        self._mayRead.set()
        self._reader.feed_eof()


class _ThreadOutput(asyncio.Transport):
    """Writes to a descriptor in a thread, for a LineWriter."""

    def __init__(self, fd: int, eventloop: asyncio.AbstractEventLoop) -> None:
        super().__init__({"pipe": fd})
        self.writer: Any = None
        self.input: Any = None
        self._given = fd
        self._file = _fileOf(fd)
        self._fd = duplicate(fd)  # the program may close the number given
        self._eventloop = eventloop
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._unsent = 0
        self._closing = False
        self._isFull = False
        threading.Thread(target=self._run, name="openStdio output", daemon=True).start()

    def _run(self) -> None:
        error: OSError | None = None
        with suppress(RuntimeError):  # the event loop is closed
            error = self._writeAll()
        os.close(self._fd)
        with suppress(RuntimeError):
            self._eventloop.call_soon_threadsafe(self._lost, error)

    def _writeAll(self) -> OSError | None:
        while (piece := self._pieces.get()) is not None:
            try:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError as error:
                return error
            self._eventloop.call_soon_threadsafe(self._sent, len(piece))
        return None

    def _sent(self, size: int) -> None:
        self._unsent -= size
        if self._isFull and not self._unsent:
            self._isFull = False
            self.writer.unblock()

    def _lost(self, error: OSError | None) -> None:
        self._closing = True
        # Here, as the program could close the number while a thread looks at it.
        if _fileOf(self._given) == self._file:
            _giveWay(self._given, os.O_WRONLY)  # so that the other side sees the end
        self.writer.lost(error)

    def write(self, data: Any) -> None:
        if self._closing:
            return
        self._unsent += len(data)
        self._pieces.put(bytes(data))
        if self._unsent > HIGH_WATER and not self._isFull:
            self._isFull = True
            self.writer.block()

    def close(self) -> None:
        self.input.close()
        self.write_eof()

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing:
            self._closing = True
            self._pieces.put(None)


def _canWatch(eventloop: asyncio.AbstractEventLoop) -> bool:
    return os.name == "posix" and hasattr(eventloop, "add_reader")


async def openStdio(
    *,
    stdin: int = 0,
    stdout: int = 1,
    limit: int = PIPE_LIMIT,
    delimiter: bytes = b"\n",
    overlong: Overlong = "close",
    keepEnds: bool = True,
    divert: bool = False,
) -> tuple[LineReader, LineWriter]:
    """Return a LineReader of the descriptor `stdin`, and a LineWriter to `stdout`: pipes, sockets, terminals or files.

    With `divert`, the pair keeps the two files to itself. From then on the number `stdin` is an empty file, and
    `stdout` is the standard error. So a print() or a child program cannot write into a protocol.

    The end of the input does not end the output. The writer's write_eof() ends the output alone, close() ends both.
    When the output has ended, or its reader has disconnected, drain() raises ConnectionResetError. The other arguments
    and their errors are LineReader's.
    OSError if a descriptor is not open.
    """
    eventloop = asyncio.get_running_loop()
    reader = LineReader(limit, delimiter, overlong, keepEnds)
    for fd in (stdin, stdout):
        statOpen(fd)
    watched = _canWatch(eventloop)
    output: Any = (_Output if watched else _ThreadOutput)(stdout, eventloop)
    output.writer = LineWriter(output, LineReader(), eventloop)
    output.input = (_Input if watched else _ThreadInput)(stdin, reader, eventloop)
    if divert:
        _divert(stdin, stdout)
    return reader, output.writer


def _fileOf(fd: int) -> tuple[int, int] | None:
    """Return what tells the file of `fd` from others, None if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _giveWay(fd: int, flags: int) -> None:
    """Put an empty file in the place of `fd`."""
    null = os.open(os.devnull, flags)
    try:
        os.dup2(null, fd, inheritable=fd <= 2)
    finally:
        os.close(null)


def _divert(stdin: int, stdout: int) -> None:
    flush: Callable[[], object] = getattr(sys.stdout, "flush", lambda: None)
    flush()
    _giveWay(stdin, os.O_RDONLY)
    os.dup2(2, stdout, inheritable=stdout <= 2)
