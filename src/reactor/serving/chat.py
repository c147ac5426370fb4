"""The chat application: one room, for people with nc or telnet.

What members send is theirs to choose, so nothing of it that could move a terminal's cursor, colour it or turn its text
around reaches another: whatever is not printable arrives as U+FFFD. A name has letters, digits, "-", "_" and "." only,
so nobody's line can pass for another's or for the room's own, which begin with "* ".
"""

from __future__ import annotations

from typing import Any

from reactor.error import OutputLimitExceeded
from reactor.failure import Failure
from reactor.protocol import ServerFactory
from reactor.serving.lines import ServedLines

MAX_NAME = 20
MAX_MEMBERS = 1000
MAX_BACKLOG = 256 * 1024
HELP = "/name NEW, /who, /quit; everything else is said to all"


def cleaned(line: bytes) -> str:
    """Return a line as text of printable characters alone."""
    text = line.decode(errors="replace").replace("\t", " ")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def nameProblem(name: str) -> str | None:
    """Return what is wrong with a name, or None."""
    if not name:
        return "a name cannot be empty"
    if len(name) > MAX_NAME:
        return f"a name has at most {MAX_NAME} characters"
    if not all(character.isalnum() or character in "-_." for character in name):
        return 'a name has letters, digits, "-", "_" and "." only'
    return None


class Member(ServedLines):
    """One connection. The first line is its name; then it has joined. Answered with the line ending it sends itself.

    A member that does not read loses its connection when MAX_BACKLOG bytes wait for it; nobody waits for it.
    """

    factory: Room
    name: str | None = None

    _ending: bytes | None = None

    def connectionMade(self) -> None:
        """Ask for the name."""
        transport: Any = self.transport
        transport.setOutputLimits(outputLimit=MAX_BACKLOG)
        if self.factory.connections >= MAX_MEMBERS:
            self.tell("* the room is full")
            transport.loseConnection()
            return
        self.factory.connections += 1
        self._counted = True
        self.tell("* your name, please")

    _counted = False

    def lineReceived(self, line: bytes) -> None:
        """A name, a command, or something to say."""
        if self.delimiter == b"\n":
            self._ending = b"\r\n" if line.endswith(b"\r") else b"\n"
            line = line.removesuffix(b"\r")
        text = cleaned(line)
        if self.name is None:
            self._join(text.strip())
        elif text.startswith("/"):
            self._obey(text)
        elif text:
            self.factory.say(f"{self.name}: {text}", self)

    def tell(self, text: str) -> None:
        """Send this member a line of the room's own."""
        self.send(text.encode())

    def send(self, data: bytes) -> None:
        """Send this member a line."""
        self.transport.write(data + (self._ending or self.delimiter))

    def connectionLost(self, reason: Any = None) -> None:
        """Tell the others, with the reason if it is this member's slowness."""
        if self._counted:
            self.factory.connections -= 1
        if self.name is not None:
            slow = isinstance(reason, Failure) and reason.check(OutputLimitExceeded)
            self.factory.leave(self, "was dropped: did not read" if slow else "has left")

    def _join(self, name: str) -> None:
        if self._take(name):
            others = ", ".join(self.factory.names(self)) or "nobody else"
            self.tell(f"* welcome, {name}; here: {others}; {HELP}")
            self.factory.say(f"* {name} has joined", self)

    def _obey(self, text: str) -> None:
        command, _, rest = text.partition(" ")
        before = self.name
        if command == "/name":
            if self._take(rest.strip()):
                self.factory.say(f"* {before} is now {self.name}")
        elif command == "/who":
            self.tell(f"* here: {', '.join(self.factory.names())}")
        elif command == "/quit":
            self.transport.loseConnection()
        else:
            self.tell(f"* {HELP}")

    def _take(self, name: str) -> bool:
        """Take a name, if it is one and nobody has it. Whether that was so; the member is told if not."""
        problem = nameProblem(name)
        if problem is None and not self.factory.claim(self, name):
            problem = f"{name} is taken"
        if problem is not None:
            self.tell(f"* {problem}; another one, please")
        return problem is None


class Room(ServerFactory[Member]):
    """The members that have a name, in the order in which they joined."""

    noisy = False
    protocol = Member

    def __init__(self) -> None:
        self.connections = 0
        self._members: dict[str, Member] = {}

    def claim(self, member: Member, name: str) -> bool:
        """Give `member` a name. False if another one has it, in whatever case."""
        key = name.casefold()
        if self._members.get(key, member) is not member:
            return False
        if member.name is not None:
            del self._members[member.name.casefold()]
        member.name = name
        self._members[key] = member
        return True

    def names(self, but: Member | None = None) -> list[str]:
        """Return everybody's name, without that of `but`."""
        return [str(member.name) for member in self._members.values() if member is not but]

    def say(self, text: str, by: Member | None = None) -> None:
        """Send a line to all, but not to `by`."""
        data = text.encode()
        for member in list(self._members.values()):
            if member is not by:
                member.send(data)

    def leave(self, member: Member, how: str) -> None:
        """A member has gone."""
        del self._members[str(member.name).casefold()]
        self.say(f"* {member.name} {how}")
