"""A load of lines on an echo server, in a thread: every answer is checked, and the slowest round is known."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

from tests.support.worlds import LOOPBACK


class CheckedLoad(threading.Thread):
    """While the `with` block runs, `connections` clients of `port` each send a line and read it back, again and again.

    At its end whatever was lost, changed or closed is raised. `rounds` is how often all of them were answered, and
    `slowest` the longest time that took, in seconds.
    """

    def __init__(self, port: int, connections: int = 20, deadline: float = 30.0) -> None:
        super().__init__()
        self.rounds = 0
        self.slowest = 0.0
        self._port = port
        self._count = connections
        self._deadline = deadline
        self._done = threading.Event()
        self._problem: BaseException | None = None

    def run(self) -> None:
        """In the thread."""
        peers: list[socket.socket] = []
        try:
            peers.extend(socket.create_connection((LOOPBACK, self._port), self._deadline) for _ in range(self._count))
            while not self._done.is_set():
                began = time.monotonic()
                self._round(peers)
                self.rounds += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
        except BaseException as problem:
            self._problem = problem
        finally:
            for peer in peers:
                peer.close()

    def _round(self, peers: list[socket.socket]) -> None:
        lines = [b"round %d of %d\n" % (self.rounds, number) for number in range(len(peers))]
        for peer, line in zip(peers, lines, strict=True):
            peer.sendall(line)
        for peer, line in zip(peers, lines, strict=True):
            answer = b""
            while not answer.endswith(b"\n"):
                piece = peer.recv(1024)
                assert piece, f"a connection was closed in round {self.rounds}"
                answer += piece
            assert answer == line, f"{answer!r} came for {line!r}"

    def end(self) -> None:
        """Finish the round, close the connections, and raise the error that occurred, if any."""
        self._done.set()
        self.join()
        if self._problem is not None:
            raise self._problem

    def __enter__(self) -> CheckedLoad:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        except BaseException:
            if error is None:
                raise
