"""The HTTP jobs on twisted.web: resources of a Site. Twisted holds a whole body before it asks a resource."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from bench.servers.common import BACKLOG, BLOCK, HELLO, jobsOf, sizeOf, total


class Hello(Resource):
    isLeaf = True

    def render(self, request: Any) -> Any:
        return HELLO


class Digest(Hello):
    def render(self, request: Any) -> Any:
        return hashlib.sha256(request.content.read()).hexdigest().encode()


class Sink(Hello):
    def render(self, request: Any) -> Any:
        size = 0
        while piece := request.content.read(len(BLOCK)):
            size += len(piece)
        return total(size)


class Blocks:
    """A push producer of a request's body."""

    paused = False

    def __init__(self, request: Any, left: int) -> None:
        self.request = request
        self.left = left

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            piece = BLOCK[: self.left]
            self.left -= len(piece)
            self.request.write(piece)
            if not self.left:
                self.request.unregisterProducer()
                self.request.finish()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0


class Source(Hello):
    def render(self, request: Any) -> Any:
        left = sizeOf(request.uri.partition(b"?")[2])
        request.setHeader(b"content-length", b"%d" % left)
        blocks = Blocks(request, left)
        request.registerProducer(blocks, True)
        blocks.resumeProducing()
        return NOT_DONE_YET


class Quiet(Site):
    def log(self, request: Any) -> None:
        """Write no access log."""


RESOURCES: dict[str, Any] = {"hello": Hello, "digest": Digest, "sink": Sink, "source": Source}


def main() -> None:
    loop: Any = reactor
    for job in jobsOf(sys.argv[1:]):
        loop.listenTCP(job.port, Quiet(RESOURCES[job.application]()), BACKLOG, "127.0.0.1")
    loop.run()


if __name__ == "__main__":
    main()
