"""A poetry client: listens to several poetry servers at once, and prints each poem when it is complete.

python examples/poetryclient.py PORT...
"""

import sys

import reactor
from reactor import Deferred, Failure, defer, error
from reactor.interfaces import IConnector
from reactor.protocol import ClientFactory, Protocol

LONGEST_POEM = 1_000_000


class Listener(Protocol):
    poem = b""

    def dataReceived(self, data: bytes) -> None:
        self.poem += data
        if len(self.poem) > LONGEST_POEM:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.factory.heard(self.poem, reason)


class ListenerFactory(ClientFactory):
    """Makes one connection, and fires `deferred` with the poem or with a failure."""

    protocol = Listener

    def __init__(self, deferred: Deferred[bytes]) -> None:
        self.deferred = deferred

    def heard(self, poem: bytes, reason: Failure) -> None:
        if reason.check(error.ConnectionDone):
            self.deferred.callback(poem)
        else:
            self.deferred.errback(reason)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.deferred.errback(reason)


def getPoem(port: int) -> Deferred[bytes]:
    deferred: Deferred[bytes] = Deferred()
    reactor.connectTCP("127.0.0.1", port, ListenerFactory(deferred), timeout=10)
    return deferred


def printPoem(poem: bytes) -> None:
    print(poem.decode(), end="", flush=True)


def printFailure(failure: Failure) -> None:
    failure.trap(error.ConnectError, error.ConnectionClosed)
    print("no poem:", failure.getErrorMessage(), flush=True)


poems = [getPoem(int(port)).addCallbacks(printPoem, printFailure) for port in sys.argv[1:]]
defer.DeferredList(poems).addCallback(lambda _: reactor.stop())
reactor.run()
