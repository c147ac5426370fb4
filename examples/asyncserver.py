"""A server whose lineReceived is a coroutine: each line is answered when its work, in a thread, is done.

    python examples/asyncserver.py [PORT]

A line is a number of rounds and a password. The answer is the key derived from it. While lineReceived waits, the server
reads nothing more from that connection. So answers come in the order of the lines, and TCP holds a fast client back.
Other connections do not wait. (Twisted 26 drops the coroutine, which then never runs.)
"""

import hashlib
import sys

import reactor
from reactor import LineReceiver, ServerFactory, deferToThread

MOST_ROUNDS = 1_000_000


class KeyServer(LineReceiver):
    async def lineReceived(self, line: bytes) -> None:
        count, _, password = line.partition(b" ")
        rounds = int(count) if count.isdigit() else 0
        if not 0 < rounds <= MOST_ROUNDS:
            self.sendLine(b"a number of rounds, please")
            return
        key = await deferToThread(hashlib.pbkdf2_hmac, "sha256", password, b"salt", rounds)
        self.sendLine(key.hex().encode())


factory = ServerFactory.forProtocol(KeyServer)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
