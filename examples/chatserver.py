"""A chat server: each client sends a name first, and then every line goes to all the others.

python examples/chatserver.py [PORT]
"""

import sys
from typing import Any

import reactor
from reactor import Factory, Failure
from reactor.interfaces import IAddress
from reactor.linereceiver import LineReceiver

MOST_CONNECTIONS = 100


class ChatMember(LineReceiver):
    MAX_LENGTH = 400
    name: bytes | None = None

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.sendLine(b"Your name?")

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        if self.name is not None:
            del self.factory.members[self.name]
            self.factory.tell(self.name + b" has left")

    def lineReceived(self, line: bytes) -> None:
        if self.name is None:
            self.join(line.strip())
        else:
            self.factory.tell(self.name + b": " + line, notTo=self)

    def join(self, name: bytes) -> None:
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

    def __init__(self) -> None:
        self.members: dict[bytes, ChatMember] = {}
        self.connections = 0

    def buildProtocol(self, addr: IAddress) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)

    def tell(self, line: bytes, notTo: ChatMember | None = None) -> None:
        for member in self.members.values():
            if member is not notTo:
                member.sendLine(line)


port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, ChatFactory(), interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
