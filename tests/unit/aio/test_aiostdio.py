"""reactor.aio.openStdio: standard input and output as streams of lines, for any kind of file."""

from __future__ import annotations

import asyncio
import os
import pathlib
import pty
import socket
import sys
import threading
import tty
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from reactor.aio import LineReader, LineWriter, openProcess, openStdio, openUnixConnection, standard, startUnixServer
from tests.support.worlds import DEADLINE

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop", "threads"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The third is for event loops that cannot watch descriptors."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    if request.param == "threads":
        monkeypatch.setattr(standard, "_canWatch", lambda eventloop: False)
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))
    for thread in threading.enumerate():
        if thread.name.startswith("openStdio"):
            thread.join(DEADLINE)  # the test has closed the other ends
            assert not thread.is_alive()


class Pipes:
    """Two pipes in the place of standard input and output: the program's ends, and ours."""

    def __init__(self) -> None:
        self.stdin, self.feed = os.pipe()
        self.out, self.stdout = os.pipe()

    async def open(self, **options: Any) -> tuple[LineReader, LineWriter]:
        return await openStdio(stdin=self.stdin, stdout=self.stdout, **options)

    def close(self) -> None:
        for fd in (self.stdin, self.feed, self.out, self.stdout):
            os.close(fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


async def writeForEver(writer: LineWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0)


def everything(fd: int) -> bytes:
    found = b""
    while piece := os.read(fd, 1 << 16):
        found += piece
    return found


def test_linesThroughPipes(run: Run, pipes: Pipes) -> None:
    async def main() -> None:
        reader, writer = await pipes.open()
        os.write(pipes.feed, b"one\ntwo\nre")
        assert await reader.readline() == b"one\n"
        assert await reader.readline() == b"two\n"
        writer.write(b"answer\n")
        await writer.drain()
        os.write(pipes.feed, b"st")
        os.close(pipes.feed)
        assert await reader.readline() == b"rest"
        assert await reader.readline() == b""
        writer.write(b"after the end of the input\n")
        writer.close()
        await writer.wait_closed()
        assert writer.is_closing()
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writer.drain()

    run(main())
    assert os.get_blocking(pipes.stdin)
    assert os.get_blocking(pipes.stdout)
    assert everything(pipes.out) == b"answer\nafter the end of the input\n"
    pipes.feed = os.open(os.devnull, os.O_RDONLY)


def test_aLineBeyondThePipe(run: Run, pipes: Pipes) -> None:
    """Output of 3 MiB waits for its reader, and drain() waits with it; input as long comes whole."""

    async def main() -> None:
        reader, writer = await pipes.open()
        line = b"x" * (3 << 20) + b"\n"
        writer.write(line)
        draining = asyncio.ensure_future(writer.drain())
        turns = 0
        while not (writer._blocked and turns > 10):
            await asyncio.sleep(0)
            turns += 1
        assert not draining.done()
        loop = asyncio.get_running_loop()
        read = loop.run_in_executor(None, lambda: b"".join(iter(lambda: os.read(pipes.out, 1 << 16), b"")))
        await draining
        sent = loop.run_in_executor(None, lambda: os.write(pipes.feed, line))
        assert await reader.readline() == line
        assert await sent == len(line)
        writer.write_eof()
        assert await read == line
        os.write(pipes.feed, b"still\n")
        assert await reader.readline() == b"still\n"
        os.write(pipes.feed, b"\n")
        writer.close()
        await writer.wait_closed()

    run(main())


def test_theReaderPausesItsInput(run: Run, pipes: Pipes) -> None:
    async def main() -> None:
        reader, writer = await pipes.open(limit=100)
        line = b"y" * 99 + b"\n"
        feeding = asyncio.get_running_loop().run_in_executor(None, lambda: os.write(pipes.feed, line * 50_000))
        while not reader._paused:
            await asyncio.sleep(0)
        assert not feeding.done()
        for _ in range(50_000):
            assert await reader.readline() == line
        await feeding
        os.write(pipes.feed, b"\n")  # lets a thread that reads come to its end
        writer.close()

    run(main())


def test_theOutputHasLostItsReader(run: Run, pipes: Pipes) -> None:
    async def main() -> None:
        reader, writer = await pipes.open()
        os.close(pipes.out)
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writeForEver(writer)
        with pytest.raises(BrokenPipeError):
            await writer.wait_closed()
        os.write(pipes.feed, b"input goes on\n")
        assert await reader.readline() == b"input goes on\n"
        os.write(pipes.feed, b"\n")
        writer.close()

    run(main())
    pipes.out = os.open(os.devnull, os.O_RDONLY)


def test_filesAndDevices(run: Run, tmp_path: pathlib.Path) -> None:
    """asyncio's connect_read_pipe refuses them, and a shell gives them to a program every day."""
    (tmp_path / "in").write_bytes(b"a\n" * 100_000 + b"rest")

    async def main() -> None:
        with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as target:
            reader, writer = await openStdio(stdin=source.fileno(), stdout=target.fileno(), keepEnds=False)
            count = 0
            async for line in reader:
                writer.write(line.upper() + b"\n")
                await writer.drain()
                count += 1
            writer.close()
            await writer.wait_closed()
            assert count == 100_001
        with open(os.devnull, "r+b") as null:
            reader, writer = await openStdio(stdin=null.fileno(), stdout=null.fileno())
            assert await reader.read() == b""
            writer.write(b"x" * 1_000_000)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    run(main())
    assert (tmp_path / "out").read_bytes() == b"A\n" * 100_000 + b"REST\n"


def test_aTerminal(run: Run) -> None:
    async def main() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        try:
            reader, writer = await openStdio(stdin=slave, stdout=slave)
            os.write(master, b"typed\n")
            assert await reader.readline() == b"typed\n"
            writer.write(b"shown\n")
            await asyncio.sleep(0)  # output is gathered for a turn
            assert os.read(master, 100) == b"shown\n"
            os.write(master, b"\n")
            writer.close()
            await writer.wait_closed()
        finally:
            os.close(master)
            os.close(slave)

    run(main())


def test_aSocket(run: Run) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with one, other:
            reader, writer = await openStdio(stdin=one.fileno(), stdout=one.fileno())
            other.sendall(b"in\n")
            assert await reader.readline() == b"in\n"
            writer.write(b"out\n")
            await asyncio.sleep(0)  # output is gathered for a turn
            assert other.recv(10) == b"out\n"
            other.sendall(b"\n")
            writer.transport.abort()
            assert await reader.read() in (b"", b"\n")

    run(main())


DIVERTED = """
import asyncio, subprocess, sys
from reactor.aio import openStdio, standard
if sys.argv[1] == "threads":
    standard._canWatch = lambda eventloop: False
async def main():
    print("before")
    reader, writer = await openStdio(divert=True)
    print("stray", flush=True)
    subprocess.run(["cat"])
    subprocess.run(["echo", "of a child"])
    async for line in reader:
        writer.write(b"got " + line)
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["watched", "threads"])
def test_strayOutputIsDiverted(how: str) -> None:
    """print() and child programs write to standard error, and read nothing of the input."""

    async def main() -> None:
        child = await openProcess(sys.executable, "-c", DIVERTED, how)
        assert await child.communicate(b"1\n2\n") == (b"before\ngot 1\ngot 2\n", b"stray\nof a child\n")

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_theTwinsForUNIXSockets(run: Run, tmp_path: pathlib.Path) -> None:
    async def answer(reader: LineReader, writer: LineWriter) -> None:
        async for line in reader:
            writer.write(line.upper())
        writer.close()

    async def main() -> None:
        path = str(tmp_path / "socket")
        server = await startUnixServer(answer, path, limit=200_000)
        reader, writer = await openUnixConnection(path, limit=200_000)
        writer.write(b"x" * 150_000 + b"\n")
        assert await reader.readline() == b"X" * 150_000 + b"\n"
        writer.close()
        await writer.wait_closed()
        server.close()

    run(main())


def test_wrongArguments(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="descriptor 12345"):
            await openStdio(stdin=12345)
        with pytest.raises(ValueError, match="limit"):
            await openStdio(limit=-1)

    run(main())
