"""The HTTP jobs on reactor.http: handlers, which are coroutines. VARIANT is handler, uvloop or request.

uvloop is the same on uvloop's event loop. request is Twisted's way: a subclass of Request, with `process`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import reactor
from bench.servers.common import BACKLOG, BLOCK, HELLO, jobsOf, sizeOf, total
from reactor.http import HTTPFactory, Request, Response


async def hello(request: Any) -> Response:
    return Response(200, HELLO)


async def digest(request: Any) -> Response:
    body = await request.body
    return Response(200, hashlib.sha256(body).hexdigest().encode())


async def sink(request: Any) -> Response:
    size = 0
    async for piece in request.body:
        size += len(piece)
    return Response(200, total(size))


class Blocks:
    """The body of a `http-source`. The answer announces its `length`."""

    def __init__(self, length: int) -> None:
        self.length = length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.length
        while left:
            piece = BLOCK[:left]
            left -= len(piece)
            yield piece


async def source(request: Any) -> Response:
    return Response(200, Blocks(sizeOf(request.uri.partition(b"?")[2])))


class Hello(Request):
    def process(self) -> None:
        self.setHeader(b"content-length", b"%d" % len(HELLO))
        self.write(HELLO)
        self.finish()


HANDLERS: dict[str, Any] = {"hello": hello, "digest": digest, "sink": sink, "source": source}


def factoryOf(variant: str, application: str) -> HTTPFactory:
    if variant == "request":
        factory = HTTPFactory()
        factory.requestFactory = {"hello": Hello}[application]
        return factory
    return HTTPFactory.forHandler(HANDLERS[application])


def main() -> None:
    variant, *arguments = sys.argv[1:]
    if variant == "uvloop":
        import uvloop

        reactor.install(reactor.AsyncioReactor(uvloop.new_event_loop()))
    for job in jobsOf(arguments):
        reactor.listenTCP(job.port, factoryOf(variant, job.application), BACKLOG, "127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
