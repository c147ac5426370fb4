"""A line server over TLS whose certificate may be renewed while it runs, and that loses nothing when it is stopped.

    python examples/tlsserver.py CERTIFICATE KEY [PORT]

CERTIFICATE and KEY are PEM files. When a program such as certbot has replaced them, new connections get the new
certificate a second later at most, and old ones live on. Each line is sent back in capital letters. An idle client is
left after a minute. At SIGTERM the server accepts no more, ends its half of each connection, and reads on until the
peers have ended too. (Twisted has no CertificateOptions of this kind, so it does not run this program.)
"""

import sys

import reactor
from reactor import CertificateOptions, Failure, LineReceiver, ServerFactory, TimeoutMixin, deferLater, maybeDeferred

IDLE = 60
ANSWERING = 1  # seconds in which lines and handshakes that are under way at the stop are served
LEAVING = 4  # seconds that the peers have to end after that


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
        """Without this method the peer's end would end the connection, and what is unsent would be lost."""

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
