"""Sender: keeps lines until a server has acknowledged them. See `acknowledging` for the protocol.

Lines that are not acknowledged are sent again on the next connection, to the same server or another one. So each line
arrives at least once. A sink that removes doubles has it once.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._logger import getLogger
from reactor.defer import Deferred, fail, succeed
from reactor.linereceiver import LineReceiver
from reactor.protocol import ClientFactory
from reactor.service.clientservice import ClientService, backoffPolicy
from reactor.sinks.acknowledging import MAX_NAME
from reactor.sinks.contract import LinesRefused, SinkClosed, SinkFull

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint

log = getLogger("reactor.sinks")

HIGH_WATER = 1024 * 1024  # bytes
MAX_HELD = 8 * 1024 * 1024  # bytes
ACK_TIMEOUT = 30.0  # seconds

_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME}}}")


class _Held:
    """The lines of one call, from the number `first` on. `acked` of them are acknowledged."""

    __slots__ = ("acked", "first", "kept", "lines", "refusal")

    def __init__(self, first: int, lines: Sequence[bytes]) -> None:
        self.first = first
        self.lines = lines
        self.acked = 0
        self.refusal: LinesRefused | None = None
        self.kept: Deferred[None] = Deferred()

    @property
    def next(self) -> int:
        return self.first + len(self.lines)

    @property
    def size(self) -> int:
        return sum(map(len, self.lines)) + len(self.lines)


class _Link(LineReceiver):
    """One connection of a Sender."""

    delimiter = b"\n"
    MAX_LENGTH = 1024
    factory: _LinkFactory

    def connectionMade(self) -> None:
        self._sender = self.factory.sender
        self._sender._connected(self)

    def lineReceived(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        number, _, reason = rest.partition(b" ")
        if word == b"ack" and number.isdigit():
            self._sender._acknowledged(int(number))
        elif word == b"refused" and number.isdigit():
            self._sender._refused(int(number), reason.decode(errors="replace"))
        elif word != b"session":
            log.warning("a server of lines answers %r, connection closed", line[:200])
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self._sender._disconnected(self)


class _LinkFactory(ClientFactory[_Link]):
    noisy = False
    protocol = _Link

    def __init__(self, sender: Sender) -> None:
        self.sender = sender


class Sender:
    """Sends lines to `endpoint`, and keeps them until they are acknowledged.

    `session` is a name that no other sender has, by default a random one. A program that starts again may
    know the lines that it has sent. It then gives the same session, and the number of its next line as `first`.

    Above `highWater` bytes without an acknowledgement the sender is full, and above `maxHeld` it refuses lines. If no
    acknowledgement comes for `ackTimeout` seconds, it closes the connection and opens another one.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        session: str | None = None,
        *,
        first: int = 1,
        clock: IReactorTime | None = None,
        retryPolicy: Callable[[int], float] | None = None,
        highWater: int = HIGH_WATER,
        maxHeld: int = MAX_HELD,
        ackTimeout: float = ACK_TIMEOUT,
    ) -> None:
        """ValueError for a `session` or `first` that the protocol does not know."""
        session = os.urandom(12).hex() if session is None else session
        if _NAME.fullmatch(session) is None:
            raise ValueError(f"a session has 1 to {MAX_NAME} letters, digits, '.', '_' and '-', unlike {session!r}")
        if first < 1:
            raise ValueError(f"the number of a line is at least 1, not {first}")
        self.session = session
        self._next = first
        self._clock = clock
        self._highWater = highWater
        self._maxHeld = maxHeld
        self._ackTimeout = ackTimeout
        self._held: deque[_Held] = deque()
        self._unsent: deque[_Held] = deque()  # the end of _held
        self._size = 0
        self._link: _Link | None = None
        self._linkNext = 0
        self._timer: IDelayedCall | None = None
        self._isStopped = False
        self._room: list[Deferred[None]] = []
        self._counts = dict.fromkeys(("ackedLines", "refusedLines", "sentLines", "connections", "timeouts"), 0)
        policy = backoffPolicy(0.05, 2.0) if retryPolicy is None else retryPolicy
        self._service = ClientService(endpoint, _LinkFactory(self), policy, clock)

    def start(self) -> None:
        """Begin to connect. Lines may be sent before."""
        self._service.startService()

    def sendLines(self, lines: Sequence[bytes], first: int | None = None) -> Deferred[None]:
        """Send lines; the Deferred fires when the server has acknowledged all of them.

        It fails with LinesRefused if the server refuses one, with SinkFull, or with SinkClosed after `stop`. `first` is
        the number of the first line, if that is not the next number. ValueError for a line with an LF.
        """
        for line in lines:
            if b"\n" in line:
                raise ValueError(f"a line has no LF, unlike {line[:60]!r}")
        if self._isStopped:
            return fail(SinkClosed("the sender has been stopped"))
        if not lines:
            return succeed(None)
        held = _Held(self._next if first is None else first, list(lines))
        if self._size + held.size > self._maxHeld:
            return fail(SinkFull(f"the sender holds {self._size} bytes, and may hold {self._maxHeld}"))
        self._next = held.next
        self._size += held.size
        self._held.append(held)
        self._unsent.append(held)
        self._sendSome()
        return held.kept

    def sendLine(self, line: bytes) -> Deferred[None]:
        """Send one line. See sendLines."""
        return self.sendLines([line])

    @property
    def nextNumber(self) -> int:
        """The number of the line after the last one that was sent."""
        return self._next

    @property
    def isFull(self) -> bool:
        """Whether the program should send nothing until whenRoom."""
        return self._size > self._highWater

    def whenRoom(self) -> Deferred[None]:
        """Return a Deferred that fires when the sender is not full, or is stopped."""
        if not self.isFull:
            return succeed(None)
        room: Deferred[None] = Deferred(self._room.remove)
        self._room.append(room)
        return room

    def flush(self) -> Deferred[None]:
        """Return a Deferred that fires when all lines of now are acknowledged or refused."""
        if not self._held:
            return succeed(None)
        flushed: Deferred[None] = Deferred(lambda _: None)

        def over(result: Any) -> Any:
            if not flushed.called:
                flushed.callback(None)
            return result

        self._held[-1].kept.addBoth(over)
        return flushed

    def stop(self) -> Deferred[None]:
        """Close the connection. Lines without an acknowledgement fail with SinkClosed, so call flush() before."""
        self._isStopped = True
        held, self._held = self._held, deque()
        self._unsent.clear()
        self._size = 0
        self._endTimer()
        for each in held:
            each.kept.errback(SinkClosed("the sender was stopped before the server had the line"))
        self._tellRoom()
        if self._link is not None:
            self._link.transport.loseConnection()
        return self._service.stopService() if self._service.running else succeed(None)

    def counters(self) -> dict[str, int]:
        """Return counters, which only grow. `heldBytes` is of now."""
        return {**self._counts, "heldBytes": self._size}

    # The connection.

    def _connected(self, link: _Link) -> None:
        self._counts["connections"] += 1
        self._link = link
        self._unsent = deque(self._held)
        if self._held:
            head = self._held[0]
            self._linkNext = head.first + head.acked
        else:
            self._linkNext = self._next
        link.sendLine(b"session %s %d" % (self.session.encode(), self._linkNext))
        self._sendSome()

    def _sendSome(self) -> None:
        """Send what follows in the order of its numbers. Behind a gap another connection is needed."""
        link = self._link
        if link is None:
            return
        while self._unsent:
            held = self._unsent[0]
            if held.first + held.acked != self._linkNext:
                if held is self._held[0]:
                    link.transport.loseConnection()
                    self._link = None
                break
            self._unsent.popleft()
            lines = held.lines[held.acked :]
            self._linkNext = held.next
            self._counts["sentLines"] += len(lines)
            link.sendLines(lines)
        self._heedTimeout()

    def _disconnected(self, link: _Link) -> None:
        if link is self._link:
            self._link = None
        self._endTimer()

    def _acknowledged(self, number: int) -> None:
        if number >= self._linkNext:
            log.warning("a server acknowledges line %d, which was not sent", number)
            return
        while len(self._held) > len(self._unsent):
            held = self._held[0]
            if held.first + held.acked > number:
                break
            count = min(number - held.first + 1, len(held.lines))
            self._counts["ackedLines"] += count - held.acked
            held.acked = count
            if count < len(held.lines):
                break
            self._over(self._held.popleft())
        self._endTimer()
        self._sendSome()

    def _refused(self, number: int, reason: str) -> None:
        self._counts["refusedLines"] += 1
        sent = itertools.islice(self._held, len(self._held) - len(self._unsent))
        held = next((each for each in sent if each.first <= number < each.next), None)
        if held is not None:
            held.refusal = LinesRefused(f"line {number}: {reason}")

    def _over(self, held: _Held) -> None:
        self._size -= held.size
        if held.refusal is None:
            held.kept.callback(None)
        else:
            held.kept.errback(held.refusal)
        if not self.isFull:
            self._tellRoom()

    def _heedTimeout(self) -> None:
        if self._timer is None and self._held and self._link is not None:
            clock = self._clock or _current.current()
            self._timer = clock.callLater(self._ackTimeout, self._timedOut)

    def _timedOut(self) -> None:
        self._timer = None
        self._counts["timeouts"] += 1
        log.warning("no acknowledgement for %g s, connection closed", self._ackTimeout)
        if self._link is not None:
            self._link.transport.abortConnection()

    def _endTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _tellRoom(self) -> None:
        room, self._room = self._room, []
        for each in room:
            each.callback(None)
