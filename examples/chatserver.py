"""A chat server: who connects gives a name, and every line goes to all the others.

python examples/chatserver.py [PORT]
"""

import sys

import reactor
from reactor import Factory
from reactor.linereceiver import LineReceiver

MOST_CONNECTIONS = 100


class ChatMember(LineReceiver):
    MAX_LENGTH = 400
    name = None

    def connectionMade(self):
        self.factory.connections += 1
        self.sendLine(b"Your name?")

    def connectionLost(self, reason):
        self.factory.connections -= 1
        if self.name is not None:
            del self.factory.members[self.name]
            self.factory.tell(self.name + b" has left")

    def lineReceived(self, line):
        if self.name is None:
            self.join(line.strip())
        else:
            self.factory.tell(self.name + b": " + line, notTo=self)

    def join(self, name):
        members = self.factory.members
        if not name or name in members:
            self.sendLine(b"Another name, please.")
            return
        self.sendLine(b"Welcome. Here are: " + b", ".join([*sorted(members), b"you"]))
        self.factory.tell(name + b" has come")
        self.name = name
        members[name] = self


class ChatFactory(Factory):
    protocol = ChatMember

    def __init__(self):
        self.members = {}
        self.connections = 0

    def buildProtocol(self, addr):
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)

    def tell(self, line, notTo=None):
        for member in self.members.values():
            if member is not notTo:
                member.sendLine(line)


port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, ChatFactory(), interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
