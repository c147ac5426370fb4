"""The chat application: one room, for people with nc or telnet.

Members choose their text freely. So no character that could move a terminal's cursor, colour it or turn its text around
reaches another member: each unprintable character arrives as U+FFFD. A member's line cannot pass for another member's,
because of the rules of chatnames. It cannot pass for the room's own lines either, which begin with "* ".

Each line is written to every member, so a few bytes of one member become many. Three rules bound this:

- In a turn of the loop the room makes at most TURN_WRITES writes. No member gets more than TURN_BYTES and one line.
- A member may send FREE_LINES lines in a WINDOW. A further line, or one that finds a turn used up, waits in a queue,
  one line a member. The queue has half of each turn. The room does not read its sender meanwhile.
- The queue waits while a member that reads has LAG unsent bytes, but for PATIENCE windows at most. So a member is
  dropped because it does not read, never because of the writes of one turn.

A connection without a name takes no place in the room. It has NAME_TIMEOUT to send one, or less if there are more than
MAX_NAMELESS others.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from reactor.defer import Deferred
from reactor.error import ConnectionDone, ConnectionUnwanted, IdleTimeout, OutputLimitExceeded
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall
from reactor.protocol import ServerFactory, closeFor
from reactor.serving.chatnames import MAX_NAME, keyOf, nameProblem, normalized
from reactor.serving.lines import ServedLines

__all__ = ["HELP", "MAX_NAME", "Member", "Room"]

MAX_MEMBERS = 1000
MAX_NAMELESS = 1000
NAME_TIMEOUT = 30.0
MAX_BACKLOG = 256 * 1024
TURN_WRITES = 4096
TURN_BYTES = 32 * 1024
FREE_LINES = 20
WINDOW = 0.1
LAG = 64 * 1024
PATIENCE = 10
PACE = 0.01
HELP = "/name NEW, /who, /quit; everything else is said to all"


def cleaned(line: bytes) -> str:
    """Return a line as text of printable characters only."""
    text = line.decode(errors="replace").replace("\t", " ")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Member(ServedLines):
    """One connection. The first line is its name; then it has joined. It gets its own kind of line ending.

    A member that does not read loses its connection when MAX_BACKLOG bytes wait for it.
    """

    factory: Room
    name: str | None = None

    # : The room's notes: the window of `said`, the lines in it, and the window in which the member lagged.
    window = -1
    said = 0
    lagging: int | None = None
    isGone = False

    _ending: bytes | None = None
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Ask for the name."""
        transport: Any = self.transport
        transport.setOutputLimits(outputLimit=MAX_BACKLOG)
        self.factory.reactor = transport.reactor
        if self.factory.isFull():
            self.refuse("the room is full")
            return
        self._deadline = transport.reactor.callLater(NAME_TIMEOUT, self.refuse, "no name has come", IdleTimeout)
        self.tell("* your name, please")
        self.factory.expect(self)

    def lineReceived(self, line: bytes) -> Deferred[Any] | None:
        """Take a name, a command, or a line for the others: now, or when the room comes to it."""
        if self.factory.mayGoOn(self):
            self.obey(line)
            return None
        turn: Deferred[Any] = Deferred()
        turn.addCallback(self.obey)
        self.factory.queue(self, line, turn)
        return turn

    def obey(self, line: bytes) -> None:
        """Carry out a line."""
        self.factory.spend(1, len(line))
        if self.name is None and self.transport.disconnecting:
            return  # refused while its line waited
        if self.delimiter == b"\n":
            self._ending = b"\r\n" if line.endswith(b"\r") else b"\n"
            line = line.removesuffix(b"\r")
        text = cleaned(line)
        if self.name is None:
            self._join(text.strip())
        elif text.startswith("/"):
            self._command(text)
        elif text:
            self.factory.say(f"{self.name}: {text}", self)

    def tell(self, text: str) -> None:
        """Send this member a line of the room's own."""
        data = text.encode()
        self.factory.spend(1, len(data))
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send this member a line."""
        self.transport.write(data + (self._ending or self.delimiter))

    def refuse(self, why: str, reason: type[ConnectionDone] = ConnectionUnwanted) -> None:
        """Send the reason, and close for that `reason`: the connection does not become a member."""
        self._hasAnswered()
        self.tell(f"* {why}")
        closeFor(self.transport, reason(why))

    def isBehind(self) -> bool:
        """Whether much of its output is unsent."""
        return getattr(self.transport, "unsent", 0) > LAG

    def connectionLost(self, reason: Any = None) -> None:
        """Tell the others; if this member was too slow, tell that too."""
        self.isGone = True
        self._hasAnswered()
        if self.name is not None:
            slow = isinstance(reason, Failure) and reason.check(OutputLimitExceeded)
            self.factory.leave(self, "was dropped: did not read" if slow else "has left")

    def _hasAnswered(self) -> None:
        """Stop waiting for its name."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            if deadline.active():
                deadline.cancel()
            self.factory.expectNoMore(self)

    def _join(self, name: str) -> None:
        if self.factory.isFull():
            self.refuse("the room is full")
        elif self._take(name):
            self._hasAnswered()
            others = ", ".join(self.factory.names(self)) or "nobody else"
            self.tell(f"* welcome, {self.name}; here: {others}; {HELP}")
            self.factory.say(f"* {self.name} has joined", self)

    def _command(self, text: str) -> None:
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
        """Take a name, if it is valid and free. Return whether it was; if not, tell the member why."""
        name = normalized(name)
        problem = nameProblem(name)
        if problem is None and not self.factory.claim(self, name):
            problem = f"{name} is taken"
        if problem is not None:
            self.tell(f"* {problem}; another one, please")
        return problem is None


class Room(ServerFactory[Member]):
    """The members with names, in the order in which they joined, and the limits on their lines."""

    noisy = False
    protocol = Member

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._nameless: dict[Member, None] = {}
        self._queue: deque[tuple[Member, bytes, Deferred[Any]]] = deque()
        self._news: deque[str] = deque()
        self.reactor: Any = None  # one queue for all members, in order
        self._writes = 0
        self._bytes = 0
        self._window = 0
        self._turnCall: IDelayedCall | None = None
        self._windowCall: IDelayedCall | None = None

    # The members.

    def isFull(self) -> bool:
        """Whether the room is full."""
        return len(self._members) >= MAX_MEMBERS

    def expect(self, member: Member) -> None:
        """Wait for the name of `member`. If too many connections have no name, close the oldest of them."""
        self._nameless[member] = None
        if len(self._nameless) > MAX_NAMELESS:
            next(iter(self._nameless)).refuse("others wait to say their names")

    def expectNoMore(self, member: Member) -> None:
        """Stop waiting for the name of `member`: it has one, or leaves."""
        self._nameless.pop(member, None)

    def claim(self, member: Member, name: str) -> bool:
        """Give `member` a name. Return False if another member has it, or one that looks like it."""
        key = keyOf(name)
        if self._members.get(key, member) is not member:
            return False
        if member.name is not None:
            del self._members[keyOf(member.name)]
        member.name = name
        self._members[key] = member
        return True

    def names(self, but: Member | None = None) -> list[str]:
        """Return all names, without that of `but`."""
        return [str(member.name) for member in self._members.values() if member is not but]

    def leave(self, member: Member, how: str) -> None:
        """Remove a member. If this turn is used up, the others hear of it in one of the next turns."""
        del self._members[keyOf(str(member.name))]
        self._news.append(f"* {member.name} {how}")
        if len(self._news) == 1 and self._isOpen(TURN_WRITES):
            self.say(self._news.popleft())
        self._awaitTurn()

    # The members' lines, and when they are passed on.

    def say(self, text: str, by: Member | None = None) -> None:
        """Send a line to all, but not to `by`."""
        data = text.encode()
        members = list(self._members.values())
        self.spend(len(members), len(data))
        for member in members:
            if member is not by:
                member.send(data)

    def spend(self, writes: int, size: int) -> None:
        """Count this much of the turn as used."""
        self._writes += writes
        self._bytes += size
        self._awaitTurn()

    def mayGoOn(self, member: Member) -> bool:
        """Count a line of `member`. Return whether it may be handled at once."""
        if member.window != self._window:
            member.window, member.said = self._window, 0
        member.said += 1
        if self._windowCall is None:
            self._windowCall = self.reactor.callLater(WINDOW, self._nextWindow)
        return member.said <= FREE_LINES and self._isOpen(TURN_WRITES)

    def queue(self, member: Member, line: bytes, turn: Deferred[Any]) -> None:
        """Fire `turn` with a line when its turn comes, but never if its member has left by then."""
        self._queue.append((member, line, turn))
        self._awaitTurn()

    def _isOpen(self, writes: int) -> bool:
        return self._writes < writes and self._bytes < TURN_BYTES * writes // TURN_WRITES

    def _awaitTurn(self, delay: float = 0) -> None:
        if self._turnCall is None:
            self._turnCall = self.reactor.callLater(delay, self._turn)

    def _turn(self) -> None:
        """Handle waiting lines for half a turn; called on a later turn of the loop."""
        self._turnCall = None
        self._writes = self._bytes = 0
        while self._news and self._isOpen(TURN_WRITES // 2):
            self.say(self._news.popleft())
        if self._queue and self._mustWait():
            self._awaitTurn(PACE)
            return
        while self._queue and self._isOpen(TURN_WRITES // 2):
            member, line, turn = self._queue.popleft()
            if not member.isGone:
                turn.callback(line)
        if self._queue or self._news:
            self._awaitTurn()

    def _nextWindow(self) -> None:
        self._windowCall = None
        self._window += 1
        if self._queue:
            self._windowCall = self.reactor.callLater(WINDOW, self._nextWindow)

    def _mustWait(self) -> bool:
        """Whether a member that may still read lags. The room does not wait for one that has lagged for long."""
        waits = False
        for member in self._members.values():
            if not member.isBehind():
                member.lagging = None
            elif member.lagging is None:
                member.lagging, waits = self._window, True
            elif self._window - member.lagging < PATIENCE:
                waits = True
        return waits
