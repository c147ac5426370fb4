"""A line server over TLS that takes a renewed certificate while it runs, and loses nothing when it stops.

    python examples/tlsserver.py CERTIFICATE KEY [PORT]

CERTIFICATE and KEY are PEM files. When a program such as certbot has replaced them, new connections get the new
certificate within a second, and old ones live on. The server sends each line back in capital letters. It closes an idle
connection after a minute. At SIGTERM it accepts no more, ends its half of each connection, and reads on until the peers
have ended too. (Twisted has no CertificateOptions of this kind, so it does not run this program.)
"""

import sys

import reactor
from reactor import CertificateOptions, Failure, LineReceiver, ServerFactory, TimeoutMixin, deferLater, maybeDeferred

IDLE = 60
ANSWERING = 1  # seconds to serve the lines and handshakes in progress at the stop
LEAVING = 4  # seconds for the peers to end after that


class Upper(LineReceiver, TimeoutMixin):
    delimiter = b"\n"
    stripCR = True

    def connectionMade(self) -> None:
        self.factory.members.add(self)
        self.setTimeout(IDLE)

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        self.sendLine(line.upper())

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Without this method the peer's end would end the connection, and unsent output would be lost."""

    def connectionLost(self, reason: Failure) -> None:
        self.setTimeout(None)
        self.factory.members.discard(self)


class UpperFactory(ServerFactory):
    protocol = Upper

    def __init__(self) -> None:
        self.members: set[Upper] = set()


async def leave() -> None:
    await maybeDeferred(port.stopListening)
    await deferLater(reactor, ANSWERING)
    for member in factory.members:
        member.transport.loseWriteConnection()
    deadline = reactor.monotonic() + LEAVING
    while factory.members and reactor.monotonic() < deadline:
        await deferLater(reactor, 0.05)


certificate, key, *rest = sys.argv[1:]
factory = UpperFactory()
options = CertificateOptions(certificate, key)
port = reactor.listenSSL(int(rest[0]) if rest else 0, factory, options, interface="127.0.0.1")
reactor.addSystemEventTrigger("before", "shutdown", leave)
print("listening on", port.getHost().port, flush=True)
reactor.run()
