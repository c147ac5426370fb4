"""Lines with acknowledgements, the server's half: each client hears when the sink has its lines.

The protocol, in lines that end in LF. It works with nc:

    session NAME FIRST      from the client, as its first line, if at all. Its lines are numbered from FIRST on, in the
                            session NAME. A client without it has the numbers from 1 on.
    session NAME FIRST      the server's answer to that
    ack NUMBER              from the server: all lines up to NUMBER are durable, but for the refused ones
    refused NUMBER REASON   from the server: the line will never be taken
    error REASON            from the server, which then closes the connection

NAME has letters, digits, `.`, `_` and `-`, at most MAX_NAME. A first line of data that begins with "session " needs a
line of the protocol before it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._logger import getLogger
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.protocol import ServerFactory
from reactor.sinks.contract import ISink, LinesRefused, Numbers

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IReactorTime

log = getLogger("reactor.sinks")

MAX_NAME = 64  # characters
LARGEST_NUMBER = 2**63 - 1
MAX_REASON = 200  # characters
ACK_DELAY = 0.1  # seconds
MAX_LINE = 64 * 1024  # bytes

SESSION = re.compile(rb"session ([A-Za-z0-9._-]{1,%d}) ([1-9][0-9]{0,18})\r?" % MAX_NAME)


class _Sent:
    """Lines that wait for the sink, up to the number `last`. `outcome` is None until the sink has spoken."""

    __slots__ = ("first", "last", "outcome")

    def __init__(self, first: int, last: int, outcome: str | None = None) -> None:
        self.first = first
        self.last = last
        self.outcome = outcome


class AcknowledgedLines(LineReceiver):
    """One client. A line that is too long is refused, and the next one goes on.

    If the client ends its half, the bytes behind its last LF are a line, too. The connection ends when the sink has all
    lines.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    overlong = "skip"
    factory: AcknowledgingFactory

    def connectionMade(self) -> None:
        """Pause, while the sink is full."""
        self._numbers: Numbers | None = None
        self._next = 1
        self._isFirst = True
        self._sent: deque[_Sent] = deque()
        self._acked = self._told = 0
        self._timer: IDelayedCall | None = None
        self._isEnding = False
        self.origin = self.factory.originOf(self)
        self._heedSink()

    def linesReceived(self, lines: list[bytes]) -> None:
        """Give the lines of a read to the sink."""
        if self._isFirst:
            self._isFirst = False
            if self._begins(lines[0]):
                lines = lines[1:]
        if lines:
            self._append(lines)

    def _begins(self, line: bytes) -> bool:
        """Whether `line` is of the protocol."""
        if not line.startswith(b"session "):
            return False
        found = SESSION.fullmatch(line)
        if found is None or int(found[2]) > LARGEST_NUMBER:
            self._fail("a session is `session NAME FIRST`")
            return True
        name = found[1].decode()
        self._next = int(found[2])
        self._acked = self._told = self._next - 1
        self._numbers = Numbers(name, self._next)
        self.origin = f"session {name}"
        self.sendLine(b"session %s %d" % (found[1], self._next))
        return True

    def _append(self, lines: list[bytes]) -> None:
        first, self._next = self._next, self._next + len(lines)
        numbers = None if self._numbers is None else Numbers(self._numbers.session, first)
        sent = _Sent(first, self._next - 1)
        self._sent.append(sent)
        kept = self.factory.sink.append(lines, self.origin, numbers, self.factory.routesOf(lines, self))
        kept.addCallbacks(self._kept, self._notKept, callbackArgs=(sent,), errbackArgs=(sent,))
        self._heedSink()

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Refuse the line."""
        self._isFirst = False
        reason = f"a line has at most {self.MAX_LENGTH} bytes"
        self._sent.append(_Sent(self._next, self._next, reason))
        self._next += 1
        self.factory.refusedCount += 1
        self._tell()

    def _kept(self, _: None, sent: _Sent) -> None:
        sent.outcome = ""
        self._tell()

    def _notKept(self, failure: Failure, sent: _Sent) -> None:
        if failure.check(LinesRefused) is None:
            self._fail(failure.getErrorMessage())
            return
        sent.outcome = failure.getErrorMessage() or "the sink refuses it"
        self.factory.refusedCount += sent.last - sent.first + 1
        self._tell()

    def _tell(self) -> None:
        """Acknowledge what is durable, in the order of the lines."""
        while self._sent and (outcome := self._sent[0].outcome) is not None:
            sent = self._sent.popleft()
            if outcome:
                self._acknowledge()
                for number in range(sent.first, sent.last + 1):
                    self._say(b"refused %d %s" % (number, _inOneLine(outcome)))
            self._acked = sent.last
        if self._acked - self._told >= self.factory.ackEvery or not self._sent:
            self._acknowledge()
        elif self._timer is None and self._acked > self._told:
            self._timer = self.factory.clock.callLater(ACK_DELAY, self._acknowledge)
        if self._isEnding and not self._sent:
            self.transport.loseConnection()

    def _acknowledge(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._acked > self._told:
            self._told = self._acked
            self._say(b"ack %d" % self._acked)

    def _say(self, line: bytes) -> None:
        if not self.transport.disconnecting:
            self.sendLine(line)

    def _fail(self, reason: str) -> None:
        self._say(b"error " + _inOneLine(reason))
        self.transport.loseConnection()

    def _heedSink(self) -> None:
        """Read nothing while the sink is full."""
        if self.factory.sink.isFull:
            self.transport.pauseProducing()
            self.factory.sink.whenRoom().addCallback(self._resume)

    def _resume(self, _: None) -> None:
        if not self.transport.disconnecting:
            self.transport.resumeProducing()
            self._heedSink()

    def readConnectionLost(self) -> None:
        """The client has sent everything: end when the sink has it."""
        rest = self.clearLineBuffer()
        if rest:
            self.linesReceived([rest])
        self._isEnding = True
        self._tell()

    def writeConnectionLost(self) -> None:
        """Do nothing. A transport needs both methods or none."""

    def connectionLost(self, reason: Any = None) -> None:
        """Acknowledge nothing more. Lines without an end were not whole, so they are dropped."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _inOneLine(reason: str) -> bytes:
    return " ".join(reason.split())[:MAX_REASON].encode(errors="replace")


class AcknowledgingFactory(ServerFactory[AcknowledgedLines]):
    """Gives the lines of its clients to `sink`. `refusedCount` is the number of lines that were refused.

    `ackEvery` is the number of lines for which one acknowledgement waits, for at most ACK_DELAY; with 1 there is one
    for each append. `route(line, peer)` returns the route of a line; without it lines have none.
    """

    noisy = False
    protocol = AcknowledgedLines

    def __init__(
        self,
        sink: ISink,
        *,
        ackEvery: int = 1,
        route: Callable[[bytes, AcknowledgedLines], str] | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        """ValueError if `ackEvery` is less than 1."""
        if ackEvery < 1:
            raise ValueError(f"ackEvery is at least 1, not {ackEvery}")
        self.sink = sink
        self.ackEvery = ackEvery
        self.refusedCount = 0
        self._route = route
        self._clock = clock
        self._count = 0

    @property
    def clock(self) -> IReactorTime:
        """The clock that was given, or the current reactor."""
        return self._clock or _current.current()

    def originOf(self, protocol: AcknowledgedLines) -> str:
        """Return a name for the connection that no other one of this process has."""
        self._count += 1
        return f"connection {id(self)} {self._count}"

    def routesOf(self, lines: list[bytes], protocol: AcknowledgedLines) -> list[str] | str:
        """Return the routes of lines."""
        route = self._route
        return "" if route is None else [route(line, protocol) for line in lines]
