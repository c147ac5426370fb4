import sys

import reactor


class Pong(reactor.LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"+PONG")


reactor.listenTCP(int(sys.argv[1]), reactor.ServerFactory.forProtocol(Pong), interface="127.0.0.1")
reactor.run()
