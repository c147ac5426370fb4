"""Random walks: two protocols on a connection, and calls of everything from everywhere, with an eye on what must hold.

A walk is drawn from its seed. Between turns of the reactor, and inside every callback, it calls methods of the
transport and the reactor. Callbacks are those of protocols and producers, delayed calls, and calls from threads.
`Party` knows what may come next.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.protocol import Protocol, connectionDone
from reactor.task import deferLater

STREAM = bytes(range(251)) * 1200  # what each side says, over and over
BIG = 70_000  # more than the high-water mark
BUDGET = 30  # calls in a walk, at most
REASONS = (ConnectionDone, ConnectionLost, ConnectionAborted, OutputLimitExceeded)


class Boom(Exception):
    """Raised by the script itself."""


class Broken(AssertionError):
    """A condition that must hold does not."""


class Walk:
    """One walk's dice, what it has done so far, and how much it may still do."""

    turn: Callable[[], None]  # turns the reactor, inside a callback too where that is possible

    def __init__(self, seed: int, budget: int) -> None:
        self.dice = random.Random(seed)
        self.budget = budget
        self.script: list[str] = []
        self.broken: list[str] = []
        self.raised = 0
        self.reactor: Any = None
        self.depth = 0

    def complain(self, what: str) -> None:
        self.broken.append(f"after {len(self.script)} calls: {what}")


class Producer:
    """A producer that acts in its callbacks, and checks their order."""

    def __init__(self, party: Party, streaming: bool) -> None:
        self.party, self.streaming = party, streaming
        self.left = 3
        self.isPaused = False
        self.isOver = False

    def pauseProducing(self) -> None:
        if self.isOver or self.isPaused or not self.streaming:
            self.party.walk.complain(f"{self.party.name}: a producer is paused, {vars(self)}")
        self.isPaused = True
        self.party.act("pauseProducing")

    def resumeProducing(self) -> None:
        if self.isOver or (self.streaming and not self.isPaused):
            self.party.walk.complain(f"{self.party.name}: a producer is resumed, {vars(self)}")
        self.isPaused = False
        if not self.streaming:
            self.left -= 1
            if self.left < 0 and self.party.transport.producer is self:
                self.party.unregister()
                return
            self.party.say(100)
        self.party.act("resumeProducing")

    def stopProducing(self) -> None:
        if self.isOver:
            self.party.walk.complain(f"{self.party.name}: a producer is stopped, {vars(self)}")
        self.isOver = True
        self.party.act("stopProducing")


class Party:
    """One side. It writes the next bytes of STREAM, or the next lines, and must get those of the other in order."""

    transport: Any
    walk: Walk
    name: str

    def begin(self, walk: Walk, name: str) -> None:
        self.walk, self.name = walk, name
        self.made = self.lost = 0
        self.saidBytes = self.gotBytes = 0
        self.isPaused = self.isClosing = self.isForced = False
        self.producer: Producer | None = None
        self.reason: Any = None

    # The callbacks.

    def connectionMade(self) -> None:
        self.made += 1
        if self.made != 1 or self.lost:
            self.walk.complain(f"{self.name}: connectionMade again")
        self.act("connectionMade")

    def got(self, size: int, mustNot: bool) -> None:
        """Something has been delivered, though it `mustNot`."""
        if (not self.made or self.lost) and not self.isForced:
            self.walk.complain(f"{self.name}: data outside of the connection")
        if mustNot and not self.isForced:
            self.walk.complain(f"{self.name}: data while paused={self.isPaused} closing={self.isClosing}")
        self.gotBytes += size

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost += 1
        if self.lost != 1 or not self.made:
            self.walk.complain(f"{self.name}: connectionLost, time {self.lost}, made {self.made}")
        self.reason = reason.value
        if not isinstance(reason.value, (*REASONS, Boom)):
            self.walk.complain(f"{self.name}: lost with {reason.value!r}")
        if self.producer is not None and not self.producer.isOver:
            self.walk.complain(f"{self.name}: the producer was not told")
        self.act("connectionLost")

    # The actions of the walk.

    def act(self, where: str) -> None:
        """Do what the dice decide, in callback `where`. (That of a half-made connection has no transport.)"""
        walk = self.walk
        walk.depth += 1
        try:
            while walk.budget > 0 and walk.depth < 12 and walk.dice.random() < 0.45:
                walk.budget -= 1
                action = walk.dice.choice(ACTIONS)
                walk.script.append(f"{self.name}.{where}: {action.__name__.strip('_')}")
                action(self)
        finally:
            walk.depth -= 1

    def say(self, size: int) -> None:
        """Write the next `size` bytes."""
        start = self.saidBytes % 251
        self.saidBytes += size
        self.transport.write(STREAM[start : start + size])

    def unregister(self) -> None:
        self.transport.unregisterProducer()
        if self.producer is not None:
            self.producer.isOver = True
            self.producer = None


class Bytes(Party, Protocol):
    def dataReceived(self, data: bytes) -> None:
        start = self.gotBytes % 251
        if data != STREAM[start : start + len(data)]:
            self.walk.complain(f"{self.name}: other bytes than those that were sent")
        self.got(len(data), self.isPaused or self.isClosing)
        self.act("dataReceived")


class Halves(Bytes):
    """A party that hears of each half."""

    def begin(self, walk: Walk, name: str) -> None:
        super().begin(walk, name)
        self.halves = ""

    def readConnectionLost(self) -> None:
        if self.lost or not self.made or "r" in self.halves:
            self.walk.complain(f"{self.name}: readConnectionLost, {self.halves!r}, lost {self.lost}")
        self.halves += "r"
        self.act("readConnectionLost")

    def writeConnectionLost(self) -> None:
        if self.lost or not self.made or "w" in self.halves:
            self.walk.complain(f"{self.name}: writeConnectionLost, {self.halves!r}, lost {self.lost}")
        self.halves += "w"
        self.act("writeConnectionLost")


class Lines(Party, LineReceiver):
    """A party that gets the stream in lines, or raw: each byte once, in order. (250 is the delimiter.)"""

    delimiter = bytes([250])
    MAX_LENGTH = 1000
    isWaiting = False

    def _take(self, data: bytes, where: str) -> None:
        start = self.gotBytes % 251
        if data != STREAM[start : start + len(data)]:
            self.walk.complain(f"{self.name}: another line than the one that was sent")
        if self.isWaiting:
            self.walk.complain(f"{self.name}: a line while the one before is waited for")
        if where == "rawDataReceived":
            # Nobody asks then whether the connection is closing, as in Twisted: data from inside a callback, in a turn
            # that it made itself, still comes.
            self.gotBytes += len(data)
        else:
            self.got(len(data), self.isPaused or self.isClosing)
        self.act(where)
        if where == "rawDataReceived" and (self.isClosing or self.lost):
            self.isForced = True  # and so may a line behind it
        if self.walk.dice.random() < 0.1:
            self.line_mode = not self.line_mode

    def lineReceived(self, line: bytes) -> Any:
        self._take(line + self.delimiter, "lineReceived")
        return self._wait() if self.walk.dice.random() < 0.1 else None

    async def _wait(self) -> None:
        self.isWaiting = True
        await deferLater(self.walk.reactor, 0)
        self.isWaiting = False
        self.act("async lineReceived")

    def rawDataReceived(self, data: bytes) -> None:
        self._take(data, "rawDataReceived")


PARTIES = (Bytes, Bytes, Halves, Lines)


# The calls. The walk remembers calls that mean a pause or an end, so that it can judge what comes after.


def write(party: Party) -> None:
    party.say(party.walk.dice.choice((1, 10, 251, 1000)))


def writeMuch(party: Party) -> None:
    party.say(BIG)


def writeNothing(party: Party) -> None:
    party.transport.write(b"")


def writeSequence(party: Party) -> None:
    start = party.saidBytes % 251
    party.saidBytes += 20
    party.transport.writeSequence([STREAM[start : start + 5], STREAM[start + 5 : start + 20]])


def loseConnection(party: Party) -> None:
    party.isClosing = True
    party.transport.loseConnection()


def stopProducing(party: Party) -> None:
    party.isClosing = True
    party.transport.stopProducing()


def stopConsuming(party: Party) -> None:
    party.unregister()
    party.isClosing = True
    party.transport.stopConsuming()


def abortConnection(party: Party) -> None:
    party.isClosing = True
    party.transport.abortConnection()


def loseWriteConnection(party: Party) -> None:
    party.transport.loseWriteConnection()


def pauseProducing(party: Party) -> None:
    party.isPaused = True
    pausing = party if isinstance(party, Lines) else party.transport
    pausing.pauseProducing()


def resumeProducing(party: Party) -> None:
    if isinstance(party, Lines):
        if not (party.isClosing or party.lost):  # else it would deliver one more line, as in Twisted
            party.isPaused = False
            party.resumeProducing()
    else:
        party.isPaused = False
        party.transport.resumeProducing()


def registerPush(party: Party) -> None:
    _register(party, True)


def registerPull(party: Party) -> None:
    _register(party, False)


def _register(party: Party, streaming: bool) -> None:
    producer = Producer(party, streaming)
    if party.transport.producer is None and not party.transport.disconnected:
        party.producer = producer
    try:
        party.transport.registerProducer(producer, streaming)
    except RuntimeError:
        if party.transport.producer is None:
            party.walk.complain(f"{party.name}: registerProducer is refused")
        return


def unregisterProducer(party: Party) -> None:
    party.unregister()


def setOutputLimits(party: Party) -> None:
    high = party.walk.dice.choice((0, 10, 1000, 65536))
    party.transport.setOutputLimits(high, max(high, party.walk.dice.choice((100, 100_000, 1 << 24))))


def ask(party: Party) -> None:
    transport = party.transport
    transport.getHost(), transport.getPeer(), transport.logPrefix(), repr(transport), transport.unsent


def fail(party: Party) -> None:
    party.walk.raised += 1
    raise Boom(f"number {party.walk.raised}")


def actLater(party: Party) -> None:
    party.walk.reactor.callLater(0, party.act, "callLater")


def actFromThread(party: Party) -> None:
    party.walk.reactor.callFromThread(party.act, "callFromThread")


def turn(party: Party) -> None:
    """A turn of the reactor, inside a callback."""
    party.walk.turn()


def addReader(party: Party) -> None:
    """Do what resumeProducing does, past the transport."""
    transport = party.transport
    if _reads(party) and transport.connected and not transport.disconnecting:
        party.isPaused = False
        transport.startReading()


def removeReader(party: Party) -> None:
    """Do what pauseProducing does, past the transport."""
    if _reads(party):
        party.isPaused = True
        party.transport.stopReading()


def _reads(party: Party) -> bool:
    """Whether it is the transport alone that decides what is read. (TLS has read before, and lines wait.)"""
    return hasattr(type(party.transport), "stopReading") and not isinstance(party, Lines)


def flush(party: Party) -> None:
    party.transport.flush()


def doWrite(party: Party) -> None:
    party.transport.doWrite()


def doRead(party: Party) -> None:
    """Read out of turn."""
    if party.transport.connected and hasattr(party.transport, "doRead"):
        before, party.isForced = party.isForced, True
        try:
            party.transport.doRead()
        finally:
            party.isForced = before


def connectionLost(party: Party) -> None:
    party.isClosing = True
    party.transport.connectionLost(Failure(ConnectionLost("by the walk")))


def disconnectAll(party: Party) -> None:
    party.walk.reactor.disconnectAll()


COMMON = (write, write, write, writeMuch, writeSequence, pauseProducing, resumeProducing, resumeProducing)
ACTIONS: tuple[Callable[[Any], None], ...] = (
    *COMMON,
    *COMMON,
    writeNothing,
    loseConnection,
    stopProducing,
    stopConsuming,
    abortConnection,
    loseWriteConnection,
    registerPush,
    registerPull,
    registerPull,
    unregisterProducer,
    setOutputLimits,
    ask,
    fail,
    actLater,
    actFromThread,
    turn,
    addReader,
    removeReader,
    flush,
    doWrite,
    doRead,
    connectionLost,
    disconnectAll,
)


class Logged(logging.Handler):
    """Keeps what kinds of errors are logged, and of the strange ones what was said."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.forget()

    def forget(self) -> None:
        self.kinds: list[type[BaseException] | None] = []
        self.strange: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kinds.append(record.exc_info[0] if record.exc_info else None)
        if self.kinds[-1] is not Boom:
            self.strange.append(record.getMessage() + (f": {record.exc_info[1]!r}" if record.exc_info else ""))


@contextmanager
def logged() -> Iterator[Logged]:
    """Catch the records of the package's loggers, which nobody else gets to hear."""
    logger, handler = logging.getLogger("reactor"), Logged()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def outside(walk: Walk, party: Party) -> int:
    """Have `party` act between two turns; return how many of the script's exceptions came out here."""
    try:
        party.act("outside")
    except Boom:
        return 1
    return 0


def judge(walk: Walk, parties: tuple[Party, Party], log: Logged, caught: int, mayFail: bool = False) -> None:
    """The connection has ended: complain of what does not fit. `mayFail`: it may have ended before it was one."""
    for party in parties:
        if (party.made, party.lost) != (1, 1) and not (mayFail and party.made == 0):
            walk.complain(f"{party.name}: made {party.made} times, lost {party.lost} times")
    for one, other in (parties, parties[::-1]):
        if one.gotBytes > other.saidBytes:
            walk.complain(f"{one.name}: got {one.gotBytes} bytes of {other.saidBytes}")
    if log.strange:
        walk.complain(f"logged: {log.strange}")
    if len(log.kinds) + caught != walk.raised:
        walk.complain(f"{walk.raised} exceptions, {caught} of them came out and {len(log.kinds)} were logged")


def explain(name: str, seed: int, run: Callable[[int, int], Walk]) -> None:
    """Fail, with the shortest beginning of the walk that goes wrong."""
    for least in range(BUDGET + 1):
        walk = run(seed, least)
        if walk.broken:
            raise Broken(f"{name}, seed {seed}, {least} calls: {walk.broken[0]}\n  " + "\n  ".join(walk.script))
    raise Broken(f"{name}, seed {seed}: it went wrong once, and not again")
