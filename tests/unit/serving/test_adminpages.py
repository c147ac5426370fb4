"""The process of the admin pages: what its clients get when another takes its place."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

from reactor import EpollReactor
from reactor.service.worker import Worker
from reactor.serving.adminpages import SOCKET, serveAdmin
from tests.support.worlds import LOOPBACK


class Replaced:
    """A worker whose drain begins in its first turn, behind `before()`. Then its reactor stops, as a Worker's does."""

    def __init__(self, reactor: EpollReactor, sock: socket.socket, before: Callable[[], None]) -> None:
        self.sockets = {SOCKET: [sock]}
        self._reactor = reactor
        self._before = before

    def onTake(self, call: Any) -> None: ...

    def onStatus(self, call: Any) -> None: ...

    def onReopen(self, call: Any) -> None: ...

    def onDrain(self, call: Callable[[float], Any]) -> None:
        self._drain = call

    def ready(self) -> None:
        self._reactor.callWhenRunning(self._replace)

    def _replace(self) -> None:
        self._before()
        self._drain(1.0).addBoth(lambda _: self._reactor.stop())


def answersAtTheEnd(*sent: bytes) -> list[bytes]:
    """Return what clients get that have connected, and sent this, in the moment of the drain."""
    clients: list[socket.socket] = []
    reactor = EpollReactor()
    with socket.create_server((LOOPBACK, 0)) as sock:

        def connect() -> None:
            for data in sent:
                clients.append(socket.create_connection(sock.getsockname(), timeout=10))
                clients[-1].sendall(data)

        try:
            serveAdmin(reactor, cast(Worker, Replaced(reactor, sock, connect)))
        finally:
            reactor.close()
    answers = []
    for client in clients:
        with client, client.makefile("rb") as file:
            answers.append(file.read())
    return answers


def test_clientsOfItsLastMomentAreAnswered() -> None:
    """They were reset: the port had let them in, and the process ended."""
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    whole, half, silent = answersAtTheEnd(ask, ask[:20], b"")
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert whole.endswith(b"alive\n")
    assert half == silent == b""  # their end is no reset, either
