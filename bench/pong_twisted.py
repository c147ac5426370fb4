"""pong_server.py with Twisted's imports."""

import sys

from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import LineReceiver


class Pong(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"+PONG")


reactor.listenTCP(int(sys.argv[1]), ServerFactory.forProtocol(Pong), interface="127.0.0.1")
reactor.run()
