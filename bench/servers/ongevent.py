"""The jobs on gevent: a greenlet a connection."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any

import gevent
from gevent.server import DatagramServer, StreamServer
from gevent.ssl import SSLContext

from bench.servers.common import ASKING, BACKLOG, BLOCK, DELIMITER, HEADER, PONG, Job, jobsOf, tlsContext, total, totals

ANSWER = PONG + DELIMITER
QUESTION = ASKING + DELIMITER


def pong(sock: Any) -> None:
    for _line in sock.makefile("rb"):
        sock.sendall(ANSWER)


def asleep(sock: Any) -> None:
    for _line in sock.makefile("rb"):
        gevent.sleep(0)
        sock.sendall(ANSWER)


def echo(sock: Any) -> None:
    for line in sock.makefile("rb"):
        sock.sendall(line)


def count(sock: Any) -> None:
    lines = size = 0
    for line in sock.makefile("rb"):
        lines += 1
        size += len(line) - 2
    sock.sendall(totals(lines, size))


CLIENTS: set[Any] = set()


def chat(sock: Any) -> None:
    CLIENTS.add(sock)
    try:
        for line in sock.makefile("rb"):
            for client in (sock,) if line == QUESTION else CLIENTS:
                client.sendall(line)
    finally:
        CLIENTS.discard(sock)


def sink(sock: Any) -> None:
    size = announced = 0
    while not size or size < announced:
        data = sock.recv(262144)
        announced = announced or int(data[:HEADER])
        size += len(data)
    sock.sendall(total(size))


def source(sock: Any) -> None:
    left = int(sock.makefile("rb").readline())
    while left:
        sock.sendall(BLOCK[:left])
        left -= min(left, len(BLOCK))


HANDLERS: dict[str, Any] = {
    "pong": pong,
    "async": pong,  # each of its handlers may simply wait
    "asleep": asleep,
    "echo": echo,
    "count": count,
    "chat": chat,
    "sink": sink,
    "source": source,
}


def closing(handle: Any) -> Any:
    def handler(sock: Any, address: Any) -> None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handle(sock)

    return handler


class EchoDatagrams(DatagramServer):
    def handle(self, data: bytes, address: Any) -> None:
        self.socket.sendto(data, address)


def listen(job: Job) -> None:
    address = ("127.0.0.1", job.port)
    if job.name == "udp":
        EchoDatagrams(address).start()
        return
    options = {"ssl_context": tlsContext(SSLContext)} if job.tls else {}
    StreamServer(address, closing(HANDLERS[job.name]), backlog=BACKLOG, **options).start()


if __name__ == "__main__":
    for job in jobsOf(sys.argv[1:]):
        listen(job)
    gevent.get_hub().join()
