"""A poetry server: it sends a poem to each client, a few bytes at a time, and closes.

python examples/poetryserver.py FILE [--port PORT] [--bytes N] [--delay SECONDS]
"""

import argparse

import reactor
from reactor import Failure, Protocol, ServerFactory
from reactor.task import LoopingCall


class Recital(Protocol):
    def connectionMade(self) -> None:
        self.rest = self.factory.poem
        self.beat = LoopingCall(self.recite)
        self.beat.start(self.factory.delay).addErrback(self.giveUp)

    def recite(self) -> None:
        count = self.factory.bytesAtATime
        piece, self.rest = self.rest[:count], self.rest[count:]
        self.transport.write(piece)
        if not self.rest:
            self.beat.stop()
            self.transport.loseConnection()

    def giveUp(self, failure: Failure) -> None:
        print("a recital ended early:", failure.getErrorMessage(), flush=True)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        if self.beat.running:
            self.beat.stop()
            print("a listener left before the end", flush=True)


class RecitalFactory(ServerFactory):
    protocol = Recital

    def __init__(self, poem: bytes, bytesAtATime: int, delay: float) -> None:
        self.poem = poem
        self.bytesAtATime = bytesAtATime
        self.delay = delay


parser = argparse.ArgumentParser()
parser.add_argument("file", type=argparse.FileType("rb"))
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--bytes", type=int, default=10)
parser.add_argument("--delay", type=float, default=0.01)
options = parser.parse_args()
with options.file:
    factory = RecitalFactory(options.file.read(), options.bytes, options.delay)

port = reactor.listenTCP(options.port, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
