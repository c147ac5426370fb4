"""An echo server in a few lines.

python examples/echoserver.py [PORT]
"""

import sys

import reactor
from reactor import LineReceiver, ServerFactory


class Echo(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


factory = ServerFactory.forProtocol(Echo)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")

print("listening on", port.getHost().port, flush=True)
reactor.run()
