"""As pong_server.py, with the answer written by the transport itself: `reactor` or `twisted`, port."""

import sys

if sys.argv[1] == "twisted":
    from twisted.internet import reactor
    from twisted.internet.protocol import ServerFactory
    from twisted.protocols.basic import LineReceiver
else:
    import reactor
    from reactor import LineReceiver, ServerFactory


class Pong(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.transport.write(b"+PONG\r\n")


reactor.listenTCP(int(sys.argv[2]), ServerFactory.forProtocol(Pong), interface="127.0.0.1")
reactor.run()
