"""An echo client that reconnects: it sends its lines one by one, and goes on after a broken connection.

python examples/echoclient.py PORT LINE...
"""

import sys
from typing import Any

import reactor
from reactor import Failure, LineReceiver, ReconnectingClientFactory
from reactor.interfaces import IConnector


class EchoClient(LineReceiver):
    def connectionMade(self) -> None:
        self.factory.resetDelay()
        self.sendNext()

    def sendNext(self) -> None:
        if self.factory.lines:
            self.sendLine(self.factory.lines[0])
        else:
            self.factory.stopTrying()
            self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        print("got back", line.decode(), flush=True)
        self.factory.lines.pop(0)
        self.sendNext()


class EchoClientFactory(ReconnectingClientFactory):
    protocol = EchoClient
    initialDelay = 0.05
    delay = 0.05
    maxDelay = 1
    maxRetries = 50

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines

    def startedConnecting(self, connector: Any) -> None:
        print("connecting to", connector.getDestination().host, flush=True)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        print("failed:", reason.getErrorMessage(), flush=True)
        ReconnectingClientFactory.clientConnectionFailed(self, connector, reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        print("lost:", reason.getErrorMessage(), flush=True)
        ReconnectingClientFactory.clientConnectionLost(self, connector, reason)
        if not self.continueTrying:
            reactor.stop()


reactor.connectTCP("127.0.0.1", int(sys.argv[1]), EchoClientFactory([line.encode() for line in sys.argv[2:]]))
reactor.run()
