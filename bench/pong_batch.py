"""As pong_server.py, with the batch hook: all lines of a read at once, answered in one write."""

import sys

import reactor


class Pong(reactor.LineReceiver):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.transport.write(b"+PONG\r\n" * len(lines))


reactor.listenTCP(int(sys.argv[1]), reactor.ServerFactory.forProtocol(Pong), interface="127.0.0.1")
reactor.run()
