"""A line server and an asyncio library in one loop: dnspython looks up the host name of each line.

    python examples/lookupserver.py [PORT [NAMESERVER NAMESERVERPORT]]

The answer is the name's IPv4 addresses, or "?" and a reason. With Deferred.fromFuture a handler can await an asyncio
task. While it waits, the server reads nothing more from that connection, and the others go on. This needs dnspython.
"""

import asyncio
import sys

import dns.asyncresolver
import dns.exception

import reactor
from reactor import Deferred, LineReceiver, ServerFactory

reactor.install(reactor.AsyncioReactor())

resolver = dns.asyncresolver.Resolver(configure=len(sys.argv) < 4)
if len(sys.argv) >= 4:
    resolver.nameservers, resolver.port = [sys.argv[2]], int(sys.argv[3])


class Lookup(LineReceiver):
    async def lineReceived(self, line: bytes) -> None:
        question = resolver.resolve(line.decode("ascii", "replace"), "A")
        try:
            found = await Deferred.fromFuture(asyncio.ensure_future(question))
        except dns.exception.DNSException as error:
            self.sendLine(b"? " + str(error).encode())
        else:
            self.sendLine(" ".join(sorted(each.address for each in found)).encode())


factory = ServerFactory.forProtocol(Lookup)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
