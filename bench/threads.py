"""CPU time a line with one reactor, and with one in each of several threads: `python -m bench.threads [THREADS]`.

It is for a free-threaded Python. With a GIL it runs, too, and the threads wait for each other.

- `in memory`: each thread feeds a LineReceiver of its own with reads of 100 lines.
- `served`: each thread runs a reactor on one port with SO_REUSEPORT. Other processes send 100 lines of 32 bytes on each
  of their connections, and wait for the answers.

CPU time is that of the threads themselves (time.thread_time), so other work on the machine counts little. The kinds
take turns, and the median of ROUNDS counts.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from reactor import EpollReactor, Factory, LineReceiver, makeBinding
from reactor._gil import hasGIL
from reactor.linecore import IMPLEMENTATION

ROUNDS = 9
BATCH = b"x" * 32 + b"\r\n"
READ = BATCH * 100
READS = 4000  # of each thread, in memory
CONNECTIONS = 16  # of each client process
EXCHANGES = 400  # of each connection

CLIENT = """
import socket, sys
port, connections, exchanges, size = map(int, sys.argv[1:])
read = (b"x" * 32 + b"\\r\\n") * size
open_ = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
for _ in range(exchanges):
    for each in open_:
        each.sendall(read)
    for each in open_:
        left = len(read)
        while left:
            left -= len(each.recv(left))
"""


class Keeping(LineReceiver):
    """Takes lines and answers nothing."""

    def lineReceived(self, line: bytes) -> None:
        """See LineReceiver."""


class Echo(LineReceiver):
    """Answers each line with itself."""

    def lineReceived(self, line: bytes) -> None:
        """See LineReceiver."""
        self.sendLine(line)


def together(count: int, work: Callable[[int, threading.Barrier], None]) -> None:
    """Run `work(number, barrier)` in `count` threads. The barrier has a place for each of them, and one more."""
    barrier = threading.Barrier(count + 1)
    threads = [threading.Thread(target=work, args=(number, barrier)) for number in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()


def inMemory(count: int) -> float:
    """Return the CPU time of a line in nanoseconds."""
    spent = [0.0] * count

    def work(number: int, barrier: threading.Barrier) -> None:
        receiver: Any = Keeping()
        receiver.transport = None
        receiver.dataReceived(READ)
        barrier.wait()
        begin = time.thread_time()
        for _ in range(READS):
            receiver.dataReceived(READ)
        spent[number] = time.thread_time() - begin

    together(count, work)
    return sum(spent) / (count * READS * 100) * 1e9


def served(count: int) -> float:
    """Return the CPU time of an answered line in nanoseconds, that of the loop and of the kernel included."""
    spent = [0.0] * count
    reactors = [EpollReactor() for _ in range(count)]
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))  # not listening, so no client comes here
        place = makeBinding("127.0.0.1", kept.getsockname()[1], reusePort=True)

        def work(number: int, barrier: threading.Barrier) -> None:
            reactor = reactors[number]
            reactor.listenTCP(place, Factory.forProtocol(Echo))
            barrier.wait()
            begin = time.thread_time()
            reactor.run(installSignalHandlers=False)
            spent[number] = time.thread_time() - begin

        def load() -> None:
            arguments = [str(place.port), str(CONNECTIONS), str(EXCHANGES), "100"]
            clients = [subprocess.Popen([sys.executable, "-c", CLIENT, *arguments]) for _ in range(2)]
            failed = [client.wait() for client in clients]
            for reactor in reactors:
                reactor.callFromThread(reactor.stop)
            if any(failed):
                raise SystemExit("a client has failed")

        loading = threading.Timer(0.2, load)
        loading.start()
        together(count, work)
        loading.join()
    for reactor in reactors:
        reactor.close()
    return sum(spent) / (2 * CONNECTIONS * EXCHANGES * 100) * 1e9


def main(arguments: list[str]) -> int:
    """Print a line for each kind."""
    most = int(arguments[0]) if arguments else 2
    print(f"CPython {sys.version.split()[0]}, {'with a' if hasGIL() else 'no'} GIL, {IMPLEMENTATION} core")
    for name, measure in (("in memory", inMemory), ("served", served)):
        found: dict[int, list[float]] = {1: [], most: []}
        for _ in range(ROUNDS):
            for count, times in found.items():
                times.append(measure(count))
        one, many = (statistics.median(times) for times in found.values())
        best = min(found[most]) / min(found[1])
        print(f"{name:10} 1 thread {one:7.1f} ns a line, {most} threads {many:7.1f}: {many / one - 1:+.1%}", end=" ")
        print(f"(of the best rounds {best - 1:+.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
