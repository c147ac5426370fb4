"""reactor.aio.openProcess: children whose pipes are streams of lines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from reactor.aio import LineProcess, LineTooLong, LineWriter, openProcess
from tests.support.worlds import DEADLINE

Run = Callable[[Coroutine[Any, Any, Any]], Any]

ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.buffer.flush()"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


async def python(text: str, **options: Any) -> LineProcess:
    return await openProcess(sys.executable, "-S", "-c", text, **options)


async def writeForEver(writer: LineWriter) -> None:
    while True:
        writer.write(b"x" * 10000)
        await writer.drain()
        await asyncio.sleep(0)


def test_aLineThereAndBack(run: Run) -> None:
    async def main() -> None:
        child = await python(ECHO)
        assert child.stdin is not None
        assert child.stdout is not None
        assert repr(child) == f"<LineProcess {child.pid}>"
        assert child.returncode is None
        child.stdin.write(b"one\n")
        await child.stdin.drain()
        assert await child.stdout.readline() == b"one\n"
        child.stdin.write(b"two\nrest")
        child.stdin.close()
        assert [line async for line in child.stdout] == [b"two\n", b"rest"]
        assert await child.wait() == 0 == child.returncode
        await child.stdin.wait_closed()

    run(main())


def test_aLineOfManyMebibytes(run: Run) -> None:
    """It is far beyond asyncio's limit of 64 KiB, and both sides hold each other up without a deadlock."""

    async def main() -> None:
        async with await python(ECHO) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            line = b"x" * (12 << 20) + b"\n"
            child.stdin.write(line)
            sending = asyncio.ensure_future(child.stdin.drain())
            assert await child.stdout.readline() == line
            await sending

    run(main())


def test_nothingIsLostAtTheEnd(run: Run) -> None:
    """The child has ended before the first line is read. All its output is there, in both pipes."""

    async def main() -> None:
        text = "import sys; print('x' * 30000); print('rest', end=''); print('e', file=sys.stderr); sys.exit(3)"
        child = await python(text)
        assert child.stdout is not None
        assert child.stderr is not None
        assert await child.wait() == 3
        assert [line async for line in child.stdout] == [b"x" * 30000 + b"\n", b"rest"]
        assert await child.stderr.readline() == b"e\n"

    run(main())


def test_aFullReaderHoldsTheChild(run: Run) -> None:
    """A child that writes without end waits when pipe and reader are full; the reader goes on where it was."""

    async def main() -> None:
        text = "import sys\nn = 0\nwhile True:\n n += 1\n sys.stdout.write(f'{n:07}\\n')"
        child = await python(text, limit=1000, stderr=None)
        assert child.stdout is not None
        assert child.stderr is None
        while not child.stdout._paused:
            await asyncio.sleep(0)
        assert len(child.stdout._buffer) < 1 << 20
        expected = 0
        while expected < 100_000:
            lines = await child.stdout.readlines()
            assert [int(line) for line in lines] == list(range(expected + 1, expected + 1 + len(lines)))
            expected += len(lines)
        child.kill()
        assert await child.wait() == -signal.SIGKILL
        child._transport.close()

    run(main())


@pytest.mark.parametrize("overlong", ["close", "skip"])
def test_linesThatAreTooLong(run: Run, overlong: Any) -> None:
    async def main() -> None:
        text = "print('a' * 10); print('b' * 100000); print('c')"
        async with await python(text, limit=50, overlong=overlong, keepEnds=False) as child:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"a" * 10 + b"\n"
            if overlong == "close":
                with pytest.raises(LineTooLong, match="more than 50 bytes"):
                    await child.stdout.readline()
            else:
                assert [line async for line in child.stdout] == [b"c"]
                assert child.stdout.overlongCount == 1

    run(main())


def test_drainAfterTheEnd(run: Run) -> None:
    """As with asyncio's: writing to a child that has ended raises ConnectionResetError at drain()."""

    async def main() -> None:
        child = await python("import sys; sys.stdin.close()")
        assert child.stdin is not None
        await child.wait()
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writeForEver(child.stdin)

    run(main())


def test_communicate(run: Run) -> None:
    async def main() -> None:
        text = "import sys; data = sys.stdin.read(); print(data.upper(), end=''); print('E', file=sys.stderr)"
        child = await python(text)
        assert await child.communicate(b"abc") == (b"ABC", b"E\n")
        deaf = await python("print('no')", stderr=subprocess.STDOUT)
        assert await deaf.communicate(b"x" * 1_000_000) == (b"no\n", None)
        without = await python("print(1)", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=None)
        assert await without.communicate() == (None, None)

    run(main())


STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, {})
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(ECHO, 0, id="at-the-end-of-its-input"),
        pytest.param(STUBBORN.format("signal.SIG_DFL"), -signal.SIGTERM, id="at-sigterm"),
        pytest.param(STUBBORN.format("signal.SIG_IGN"), -signal.SIGKILL, id="at-sigkill"),
    ],
)
def test_stoppedInOrder(run: Run, text: str, expected: int) -> None:
    async def main() -> None:
        child = await python(text)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"go\n")
        await child.stdout.readline()
        assert await child.stop(0.3 if expected else DEADLINE) == expected
        assert await child.stop() == expected
        for act in (child.kill, child.terminate, lambda: child.send_signal(signal.SIGINT)):
            with pytest.raises(ProcessLookupError):
                act()

    run(main())


def test_stopReadsMeanwhile(run: Run) -> None:
    """A child in the middle of much output gets rid of it, and ends by itself. Its lines stay readable."""

    async def main() -> None:
        text = "import sys\nfor n in range(100000): print(f'{n:030}')\nsys.exit(7)"
        child = await python(text, limit=1000)
        assert child.stdout is not None
        while not child.stdout._paused:
            await asyncio.sleep(0)
        assert await child.stop(DEADLINE) == 7
        lines = [line async for line in child.stdout]
        assert 1000 < len(lines) < 100000
        assert [int(line) for line in lines[:-1]] == list(range(len(lines) - 1))

    run(main())


def test_cancelledStopsKill(run: Run) -> None:
    async def main() -> None:
        child = await python(STUBBORN.format("signal.SIG_IGN"))
        assert child.stdout is not None
        await child.stdout.readline()
        stopping = asyncio.ensure_future(child.stop(DEADLINE))
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert await child.wait() == -signal.SIGKILL

    run(main())


def test_aGrandchildHoldsThePipes(run: Run) -> None:
    """The end of the child is known at once, though its pipes stay open; stop() does not wait for them for ever."""

    async def main() -> None:
        text = (
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()']); print(p.pid, flush=True)"
        )
        held, given = os.pipe()
        child = await python(text, stdin=held)
        os.close(held)
        assert child.stdin is None
        assert child.stdout is not None
        grandchild = int(await child.stdout.readline())
        assert await child.wait() == 0
        assert not child.stdout.at_eof()
        assert await child.stop(0.1) == 0
        os.kill(grandchild, 0)  # it lives: only the child was ours to end
        os.close(given)

    run(main())


def test_wrongArguments(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await openProcess("/does/not/exist")
        with pytest.raises(ValueError, match="limit is a number of bytes"):
            await openProcess(sys.executable, limit=0)
        with pytest.raises(ValueError, match="overlong must be"):
            await openProcess(sys.executable, overlong="drop")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="STDOUT is for stderr alone"):
            await openProcess(sys.executable, stdout=subprocess.STDOUT)
        child = await python("")
        with pytest.raises(TypeError, match="grace is a number of seconds"):
            await child.stop("x")  # type: ignore[arg-type]
        await child.stop()

    run(main())
