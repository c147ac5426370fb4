"""A server behind a proxy. It numbers the requests that it sees, and tells them at /log, on a port of its own.

Run as a program, it prints the two port numbers, and serves until SIGTERM.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import reactor
from reactor.http import HTTPFactory, Request, Response
from tests.support.worlds import LOOPBACK

NUMBER = "X-Number"


class Backend:
    """The handler of the proxy's side, and that of the test's."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.log: list[tuple[int, str, str, int]] = []

    async def answer(self, request: Any) -> Response:
        """Answer with the target; note the number, the method, the target and the proxy's port."""
        body = await request.body
        number = next(self.numbers)
        self.log.append(
            (number, request.method.decode(), request.uri.decode("latin-1"), request.getClientAddress().port)
        )
        return Response(200, request.uri + b" " + body[:100], {NUMBER: str(number)})

    async def tell(self, request: Request) -> Response:
        """Answer with what was noted since the last time."""
        told, self.log = self.log, []
        return Response(200, json.dumps(told).encode())


def main() -> None:
    backend = Backend()
    ports = [
        reactor.listenTCP(0, HTTPFactory.forHandler(handler), interface=LOOPBACK).getHost().port
        for handler in (backend.answer, backend.tell)
    ]
    print(*ports, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
