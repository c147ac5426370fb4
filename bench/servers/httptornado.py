"""The HTTP jobs on tornado.web."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, stream_request_body

from bench.servers.common import BACKLOG, BLOCK, HELLO, KEPT, jobsOf, sizeOf, total

LONGEST = 1 << 40  # bytes of a body


class Hello(RequestHandler):
    def get(self) -> None:
        self.write(HELLO)


class Digest(RequestHandler):
    def post(self) -> None:
        self.write(hashlib.sha256(self.request.body).hexdigest())


@stream_request_body
class Sink(RequestHandler):
    def prepare(self) -> None:
        self.size = 0

    def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)

    def post(self) -> None:
        self.write(total(self.size))


class Source(RequestHandler):
    async def get(self) -> None:
        left = sizeOf(self.request.query.encode())
        self.set_header("Content-Length", str(left))
        while left:
            piece = BLOCK[:left]
            left -= len(piece)
            self.write(piece)
            await self.flush()


HANDLERS: dict[str, Any] = {"hello": Hello, "digest": Digest, "sink": Sink, "source": Source}


async def main() -> None:
    for job in jobsOf(sys.argv[1:]):
        application = Application([("/", HANDLERS[job.application])], log_function=lambda handler: None)
        server = HTTPServer(application, max_body_size=LONGEST, idle_connection_timeout=KEPT)
        server.listen(job.port, "127.0.0.1", backlog=BACKLOG)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
