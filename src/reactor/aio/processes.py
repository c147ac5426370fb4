"""Child processes whose pipes are streams of lines, in asyncio's event loop.

    async with await openProcess("sort", "-u") as child:
        child.stdin.write(b"b\\na\\n")
        child.stdin.close()
        async for line in child.stdout:
            print(line)

The event loop starts and watches the child, so this works wherever asyncio.create_subprocess_exec does. The end of a
pipe comes behind its data, and the end of the child is apart from both: a grandchild may hold the pipes.
"""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import Any

from reactor._arguments import checkSeconds
from reactor.aio.streams import LineReader, LineWriter, Overlong
from reactor.interfaces import BytesLike

PIPE_LIMIT = 16 * 1024 * 1024
GRACE = 5.0


class _ChildProtocol(asyncio.SubprocessProtocol):
    """Feeds the readers of a child's output, and tells the writer of its input."""

    def __init__(self, readers: dict[int, LineReader], eventloop: asyncio.AbstractEventLoop) -> None:
        self.readers = readers
        self.writer: LineWriter | None = None
        self.dropping = False
        self.exited: asyncio.Future[None] = eventloop.create_future()
        self.finished: asyncio.Future[None] = eventloop.create_future()
        self._eventloop = eventloop
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        for fd, reader in list(self.readers.items()):
            pipe = transport.get_pipe_transport(fd)
            if pipe is None:
                del self.readers[fd]
            else:
                reader.attach(pipe, isPipe=True)
        stdin = transport.get_pipe_transport(0)
        if stdin is not None:
            self.writer = LineWriter(stdin, LineReader(), self._eventloop)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        reader = self.readers[fd]
        if not (self.dropping and reader.isFull()):
            reader.feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            if self.writer is not None:
                self.writer.close()
                self.writer.lost(exc)
        elif exc is None:
            self.readers[fd].feed_eof()
        else:
            self.readers[fd].broken(exc)

    def pause_writing(self) -> None:
        if self.writer is not None:
            self.writer.block()

    def resume_writing(self) -> None:
        if self.writer is not None:
            self.writer.unblock()

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.process_exited()
        if not self.finished.done():
            self.finished.set_result(None)
        for reader in self.readers.values():
            reader.feed_eof()
        if self.writer is not None:
            self.writer.lost()
        self._transport.close()  # else asyncio's warns that it has not been closed

    def dropRest(self) -> None:
        """Read all output to its end, keep what the readers hold, and drop what they have no room for."""
        self.dropping = True
        for reader in self.readers.values():
            reader.pauseNoMore()


class LineProcess:
    """A child process: asyncio's Process, with streams of lines.

    `stdin` is a LineWriter, `stdout` and `stderr` are LineReaders, each None if it is no pipe. As a context manager it
    calls stop() at the end of the block.
    """

    def __init__(self, transport: Any, protocol: _ChildProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self.stdin = protocol.writer
        self.stdout = protocol.readers.get(1)
        self.stderr = protocol.readers.get(2)
        self.pid: int = transport.get_pid()

    def __repr__(self) -> str:
        return f"<LineProcess {self.pid}>"

    @property
    def returncode(self) -> int | None:
        """The exit code, None while the process runs, or minus the number of the signal that has ended it."""
        code: int | None = self._transport.get_returncode()
        return code

    async def wait(self) -> int:
        """Wait for the end of the process, and return its exit code. Its output can still be read.

        Read `stdout` and `stderr` meanwhile: a child that nobody reads waits when its pipe and the reader are full.
        """
        await asyncio.shield(self._protocol.exited)
        code = self.returncode
        assert code is not None
        return code

    async def communicate(self, input: BytesLike | None = None) -> tuple[bytes | None, bytes | None]:
        """Send `input`, end `stdin`, and read all output. Return it as (stdout, stderr) after the process has ended.

        As in asyncio, it is no error if the child does not read its input.
        """

        async def everythingOf(reader: LineReader | None) -> bytes | None:
            return None if reader is None else await reader.read()

        async def send() -> None:
            if self.stdin is None:
                return
            with suppress(BrokenPipeError, ConnectionResetError):
                if input is not None:
                    self.stdin.write(input)
                    await self.stdin.drain()
            self.stdin.close()

        _, out, err = await asyncio.gather(send(), everythingOf(self.stdout), everythingOf(self.stderr))
        await self.wait()
        return out, err

    def send_signal(self, signal: int) -> None:
        """Send `signal` to the process. ProcessLookupError if it has ended."""
        self._transport.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM; on Windows, end the process. ProcessLookupError if it has ended."""
        self._transport.terminate()

    def kill(self) -> None:
        """Send SIGKILL; on Windows, end the process. ProcessLookupError if it has ended."""
        self._transport.kill()

    async def stop(self, grace: float = GRACE) -> int:
        """End the process in order, and return its exit code.

        First its `stdin` ends, and it has `grace` seconds to exit. Then it gets SIGTERM, and as much time again, and at
        last SIGKILL. Meanwhile its output is read, so that it does not wait for a reader. Output beyond twice the limit
        of a line is dropped. The readers still give the rest. If the wait is cancelled, the process is killed at once.
        """
        checkSeconds(grace, "grace")
        self._protocol.dropRest()
        if self.stdin is not None:
            self.stdin.close()
        try:
            for act in (None, self.terminate, self.kill):
                if act is not None:
                    with suppress(ProcessLookupError, PermissionError):
                        act()
                with suppress(TimeoutError):
                    async with asyncio.timeout(grace if act != self.kill else None):
                        await self.wait()
                        break
            with suppress(TimeoutError):  # a grandchild may hold the pipes
                async with asyncio.timeout(grace):
                    await asyncio.shield(self._protocol.finished)
        finally:
            if self.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    self.kill()
            self._transport.close()
        return await self.wait()

    async def __aenter__(self) -> LineProcess:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


async def openProcess(
    program: Any,
    *args: Any,
    stdin: Any = PIPE,
    stdout: Any = PIPE,
    stderr: Any = PIPE,
    limit: int = PIPE_LIMIT,
    delimiter: bytes = b"\n",
    overlong: Overlong = "close",
    keepEnds: bool = True,
    **options: Any,
) -> LineProcess:
    """Start `program` with `args` by the event loop's subprocess_exec; return a LineProcess.

    `stdin`, `stdout` and `stderr` are as for subprocess.Popen: PIPE, DEVNULL, a descriptor, a file, or None for the
    parent's own. The event loop gets `options` (env, cwd, start_new_session, and others). A pipe pauses while its
    reader holds more than twice `limit` bytes: read all that are PIPE, or pass None or DEVNULL. The other arguments and
    their errors are LineReader's. With `overlong` "close", a line that is too long closes its pipe. OSError if the
    program cannot be started.
    """
    outputs = {fd: what for fd, what in ((1, stdout), (2, stderr)) if what == PIPE}
    LineReader(limit, delimiter, overlong, keepEnds)  # refuses wrong arguments before there is a child
    if subprocess.STDOUT in (stdin, stdout):
        raise ValueError("STDOUT is for stderr alone")
    eventloop = asyncio.get_running_loop()
    readers = {fd: LineReader(limit, delimiter, overlong, keepEnds) for fd in outputs}
    transport, protocol = await eventloop.subprocess_exec(
        lambda: _ChildProtocol(readers, eventloop), program, *args, stdin=stdin, stdout=stdout, stderr=stderr, **options
    )
    return LineProcess(transport, protocol)
