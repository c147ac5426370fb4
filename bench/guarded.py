"""The work that the guard counts. Each piece is between two calls of os.getppid, where callgrind writes its counts.

guard.py runs it under valgrind: `python -m bench.guarded`.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from functools import partial

from bench.work.lines import kindOf
from reactor import EpollReactor, LineReceiver, ServerFactory
from reactor.service import Server

READ = 65536
TIMES = 4
SINGLE = 1500
REPEATS = 5  # the heap differs each time, and the median counts


def parsing(rival: str, length: int, delimiter: bytes | None = None) -> tuple[Callable[[], object], int]:
    """Reads of 64 KiB of whole lines, and how many lines there are."""
    ends = delimiter or b"\r\n"
    count = READ // (length + len(ends))
    read = b"".join(b"%0*d%b" % (length, number, ends) for number in range(count))
    receiver = kindOf(rival, delimiter)()
    receiver.transport = receiver.standIn()

    def work() -> None:
        for _ in range(TIMES):
            receiver.dataReceived(read)

    return work, TIMES * count


def dispatching() -> tuple[Callable[[], object], int]:
    """Reads of one line, each answered."""
    receiver = kindOf("ours", lineReceived=lambda self, line: self.sendLine(b"+PONG"))()
    receiver.transport = receiver.standIn()

    def work() -> None:
        for _ in range(SINGLE):
            receiver.dataReceived(b"PING\r\n")

    return work, SINGLE


class Pong(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"+PONG")


def serving(kind: str = "") -> tuple[Callable[[], object], int]:
    """One line through the loop, a socket and back; the kernel's instructions do not count.

    With "timer" a delayed call is pending. With "counted" it is, too, and the connection is one of a Server's listener.
    """
    reactor = EpollReactor()
    factory = ServerFactory.forProtocol(Pong)
    if kind:
        reactor.callLater(86400, list)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")
        listening.listen()
        if kind == "counted":
            server = Server(reactor)
            server.makeListener(factory, name="lines").adopt(listening)
            server._lag.stop()  # its calls come by the clock, and valgrind is slow
        else:
            reactor.adoptStreamPort(listening.fileno(), socket.AF_UNIX, factory)
        theirs = socket.socket(socket.AF_UNIX)
        theirs.connect(listening.getsockname())
        reactor.iterate()

    def work() -> None:
        for _ in range(SINGLE):
            theirs.send(b"PING\r\n")
            reactor.iterate()
            if theirs.recv(100) != b"+PONG\r\n":
                raise SystemExit("a wrong answer")

    return work, SINGLE


WORKS: dict[str, Callable[[], tuple[Callable[[], object], int]]] = {
    "naive-32": partial(parsing, "naive", 32),
    "naive-8": partial(parsing, "naive", 8),
    "naive-100": partial(parsing, "naive", 100),
    "lines-8": partial(parsing, "ours", 8),
    "lines-32": partial(parsing, "ours", 32),
    "lines-100": partial(parsing, "ours", 100),
    "lines-lf-32": partial(parsing, "ours", 32, b"\n"),
    "lines-instance-32": partial(parsing, "ours-instance", 32, b"\n"),
    "batch-32": partial(parsing, "ours-batch", 32),
    "only-32": partial(parsing, "ours-only", 32),
    "dispatch": dispatching,
    "event": serving,
    "event-timer": partial(serving, "timer"),
    "event-counted": partial(serving, "counted"),
}


def ballast() -> list[bytes]:
    """Return half-used memory of every small size.

    Without it, other imports would decide how often CPython's allocator takes and returns pools.
    """
    return [bytes(size) for size in range(0, 480, 8) for _ in range(6000)][::2]


def main() -> None:
    gc.disable()
    held: list[object] = [ballast()]
    for name, make in WORKS.items():
        work, count = make()
        for _ in range(12):
            work()  # until CPython has specialised what it can
        for number in range(REPEATS):
            held.append([bytes(size) for size in range(0, 480, 8) for _ in range(17 * number)])
            os.getppid()
            work()
            os.getppid()
        print(name, count, flush=True)


if __name__ == "__main__":
    main()
