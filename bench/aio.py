"""What streams of lines cost, ours against asyncio's, in alternating runs: `python bench/aio.py [LENGTH ...]`.

A process of its own sends lines over TCP on 127.0.0.1; a coroutine here reads them all, on asyncio's event loop and on
uvloop's. Each run checks the number of lines and of bytes. "CPU" is the time of this process alone, so what the sender
costs does not count. What counts is the ratio to asyncio's `readline`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import platform
import socket
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from reactor.aio import openConnection, startServer
from reactor.linecore import IMPLEMENTATION

ROUNDS = 5
TOTAL = 8_000_000  # bytes a run, about
LENGTHS = tuple(map(int, sys.argv[1:])) or (8, 32, 100, 1000)
ECHOES = 200_000


def send(address: tuple[str, int], line: bytes, count: int) -> None:
    """The other process: send `count` lines, and read whatever comes back."""
    with socket.create_connection(address) as sock:
        piece = line * 1000
        for _ in range(count // 1000):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):
            pass


async def asyncioReadline(reader: Any, writer: Any) -> tuple[int, int]:
    lines = size = 0
    while line := await reader.readline():
        lines += 1
        size += len(line)
    return lines, size


async def asyncFor(reader: Any, writer: Any) -> tuple[int, int]:
    lines = size = 0
    async for line in reader:
        lines += 1
        size += len(line)
    return lines, size


async def asyncForBare(reader: Any, writer: Any) -> tuple[int, int]:
    lines = size = 0
    async for line in reader:
        lines += 1
        size += len(line)
    return lines, size + lines


async def batches(reader: Any, writer: Any) -> tuple[int, int]:
    lines = size = 0
    while found := await reader.readlines():
        lines += len(found)
        size += sum(map(len, found))
    return lines, size + lines


async def echo(reader: Any, writer: Any) -> tuple[int, int]:
    lines = size = 0
    async for line in reader:
        lines += 1
        size += len(line)
        writer.write(line)
        await writer.drain()
    return lines, size


Reads = Callable[[Any, Any], Coroutine[Any, Any, tuple[int, int]]]
READING: dict[str, tuple[Any, Reads, dict[str, Any]]] = {
    "asyncio readline": (asyncio.start_server, asyncioReadline, {}),
    "asyncio async for": (asyncio.start_server, asyncFor, {}),
    "ours readline": (startServer, asyncioReadline, {}),
    "ours async for": (startServer, asyncFor, {}),
    "ours async for, bare": (startServer, asyncForBare, {"keepEnds": False}),
    "ours readlines, bare": (startServer, batches, {"keepEnds": False}),
}
ECHOING: dict[str, tuple[Any, Reads, dict[str, Any]]] = {
    "asyncio echo": (asyncio.start_server, echo, {}),
    "ours echo": (startServer, echo, {}),
}


async def measure(start: Any, read: Reads, options: dict[str, Any], line: bytes, count: int) -> float:
    """The CPU seconds that one run takes here."""
    done: asyncio.Future[tuple[int, int, float]] = asyncio.get_running_loop().create_future()

    async def connected(reader: Any, writer: Any) -> None:
        begun = time.process_time()
        lines, size = await read(reader, writer)
        done.set_result((lines, size, time.process_time() - begun))
        writer.close()

    server = await start(connected, "127.0.0.1", 0, **options)
    address = server.sockets[0].getsockname()
    sender = multiprocessing.get_context("spawn").Process(target=send, args=(address, line, count))
    sender.start()
    try:
        lines, size, taken = await done
    finally:
        while sender.is_alive():
            await asyncio.sleep(0.001)
        sender.join()
        server.close()
    if (lines, size) != (count, count * len(line)):
        sys.exit(f"{read.__name__} has read {lines} lines and {size} bytes of {count} and {count * len(line)}")
    return taken


def compare(title: str, cases: dict[str, tuple[Any, Reads, dict[str, Any]]], line: bytes, count: int) -> None:
    for loopName, newLoop in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, (start, read, options) in cases.items():
                with asyncio.Runner(loop_factory=newLoop) as runner:
                    times[name].append(runner.run(measure(start, read, options, line, count)))
        rival = statistics.median(times[next(iter(cases))])
        print(f"\n{title}, on {loopName}'s event loop")
        for name, taken in times.items():
            middle = statistics.median(taken)
            rate, ratio = count / middle / 1e6, rival / middle
            print(f"  {name:22} {rate:7.2f} million lines a second of CPU, {ratio:5.1f} times the first")


async def main() -> None:
    """The client's side too, once: what was written is what comes back."""
    server = await startServer(lambda reader, writer: echo(reader, writer), "127.0.0.1", 0)
    reader, writer = await openConnection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    server.close()


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, uvloop {uvloop.__version__}, line core: {IMPLEMENTATION}")
    asyncio.run(main())
    for length in LENGTHS:
        line = b"x" * (length - 1) + b"\n"
        compare(f"{length}-byte lines", READING, line, TOTAL // length // 1000 * 1000)
    compare("echo of 32-byte lines, drained each", ECHOING, b"x" * 31 + b"\n", ECHOES)
