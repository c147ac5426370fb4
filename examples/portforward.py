"""A port forwarder: each connection to its port becomes one to another port, and bytes pass both ways.

Both ports are on this machine. Each side's transport is the producer of the other's: while one has too much unsent
output, the other is not read. So a peer that does not read costs a bounded amount of memory, however much its partner
sends. The end of either connection ends both, after all data that was read has been sent.

python examples/portforward.py TARGET [PORT]
"""

import sys
from typing import Any

import reactor
from reactor import ClientFactory, Failure, Protocol, ServerFactory
from reactor.interfaces import IConnector


class Side(Protocol):
    other: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def connectionLost(self, reason: Failure) -> None:
        if self.other is not None:
            # A connection does not close before its producer has unregistered, and this side is the producer.
            self.other.transport.unregisterProducer()
            self.other.transport.loseConnection()
            self.other.other = None
            self.other = None


class Outgoing(Side):
    def connectionMade(self) -> None:
        self.join(self.factory.incoming)

    def join(self, incoming: Side) -> None:
        self.other, incoming.other = incoming, self
        self.transport.registerProducer(incoming.transport, True)
        incoming.transport.registerProducer(self.transport, True)
        incoming.transport.resumeProducing()


class OutgoingFactory(ClientFactory):
    protocol = Outgoing
    noisy = False

    def __init__(self, incoming: Side) -> None:
        self.incoming = incoming

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        print("no connection:", reason.type.__name__, flush=True)
        self.incoming.transport.loseConnection()


class Incoming(Side):
    def connectionMade(self) -> None:
        # Read nothing until there is a connection to write it to.
        self.transport.pauseProducing()
        self.connector = reactor.connectTCP("127.0.0.1", self.factory.target, OutgoingFactory(self), timeout=10)

    def connectionLost(self, reason: Failure) -> None:
        Side.connectionLost(self, reason)
        self.connector.disconnect()


class Forwarder(ServerFactory):
    protocol = Incoming

    def __init__(self, target: int) -> None:
        self.target = target


factory = Forwarder(int(sys.argv[1]))
port = reactor.listenTCP(int(sys.argv[2]) if sys.argv[2:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
