"""A server behind a balancer, for test_proxyheaders.py: it answers each line with the client's address before it.

It trusts 127.0.0.2 alone, and waits for a header for as many seconds as its argument says. When its standard input
ends, it prints the numbers of refused connections.
"""

from __future__ import annotations

import json
import os
import sys

import reactor
from reactor import LineReceiver, ServerFactory
from reactor.haproxy import HAProxyWrappingFactory
from reactor.stdio import StandardIO


class Answering(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self) -> None:
        peer = self.transport.getPeer()
        self.start = f"{peer.host} {peer.port} ".encode()

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(self.start + line)


class Watching(LineReceiver):
    def connectionLost(self, reason: object = None) -> None:
        print(json.dumps(wrapping.refused), file=output, flush=True)
        if reactor.running:
            reactor.stop()


output = os.fdopen(os.dup(1), "w")  # StandardIO gives the number 1 away at its end
factory = ServerFactory.forProtocol(Answering)
factory.noisy = False
wrapping = HAProxyWrappingFactory(factory, ["127.0.0.2"], headerTimeout=float(sys.argv[1]))
port = reactor.listenTCP(0, wrapping, backlog=500, interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.callWhenRunning(StandardIO, Watching())
reactor.run()
sys.exit(0)
