"""HTTPChannel: one connection of an HTTP/1.1 server. A LineReceiver whose lines are heads and whose raw data is bodies.

How it works
============

In line mode the line core gives each head as one batch, since batches end at empty lines. So whatever a head decides
counts for the bytes behind it. A body that has come with its head is taken at once. Otherwise the channel sets raw
mode, a decoder finds the end of the body, and what follows it goes back with setLineMode.

The input of a connection is in one of these phases; the phase says what the connection waits for, and how long:

    phase      what comes next                        deadline
    IDLE       the first byte of a request            `timeOut`, then the connection closes
    HEAD       the rest of a head                     `headTimeOut`, then 408
    BODY       the rest of a body                     MIN_RATE bytes a second, looked at each GRACE seconds, then 408
    BUSY       an answer of the program               none: the program's own
    ENDING     nothing: what comes is dropped         `lingerTime`, then the connection is reset
    TAKEN      bytes for another protocol             none

    from       to         when
    IDLE       HEAD       a read has left a part of a head
    any of     BUSY       a request without a body has come, or the last piece of its body
    the four
               BODY       a head has come, and not all of its body
    BUSY       IDLE       all requests are answered
               HEAD       the same, and a part of the next head is there
    any        ENDING     the last answer has been decided: an error, or a request that does not persist
    BUSY       TAKEN      a request has handed the connection over

`requests` holds the requests that are not answered, in their order. The first one writes to the transport, the others
keep what they write (`queued`). With `maxPipelined` requests the channel reads no more until one is answered.

Reading stops for as long as one of four causes holds (`_holds`). The peer does not take our output, too many requests
wait, or a handler takes its body slower than it comes. Or CONNECT or an upgrade has no answer: behind it there may be
no HTTP. While the peer takes no output, `stallTime` is the deadline.

A connection that ends while the peer may still send is not closed at once. Closing a socket with unread input resets
the connection, and the reset may destroy the answer on its way. So our half ends, and input is dropped until the peer
ends its half, too (RFC 9112, 9.6).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from reactor import _current
from reactor._beside import beside, failTransport
from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.error import IdleTimeout
from reactor.failure import Failure
from reactor.http.bodies import Decoder, LengthDecoder, decoderFor
from reactor.http.errors import HTTPError
from reactor.http.head import (
    CHUNKED,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_LINE,
    Pair,
    checkHost,
    expectsContinue,
    knownRequestLine,
    parseBlock,
    parseFields,
    parseRequestLine,
    persists,
    requestLength,
)
from reactor.http.peerend import hasEnded
from reactor.http.requests import Request
from reactor.http.waits import Deadlines, endWait
from reactor.interfaces import ISSLTransport
from reactor.linereceiver import LineReceiver
from reactor.protocol import connectionDone
from reactor.transports.output import OutputStream

log = getLogger("reactor.http")

IDLE, HEAD, BODY, BUSY, ENDING, TAKEN = range(6)

# Causes to read nothing.
OUTPUT, QUEUE, CONTENT, TUNNEL = 1, 2, 4, 8

MIN_RATE = 240  # bytes a second
GRACE = 5.0  # seconds
LOOK = 5.0  # seconds between two looks at a client whose bytes are not read
#: A body that no handler has read is dropped up to this many bytes; for more, the connection ends.
MOST_DROPPED = 64 * 1024

_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HTTPChannel(LineReceiver):
    """One connection of an HTTP/1.1 server. It makes a `requestFactory(channel)` for each request.

    `twisted.web.http` has a class of this name, with `requestFactory`, `timeOut`, `maxHeaders` and `totalHeadersSize`.
    A request that breaks RFC 9110 or 9112 gets an answer with a code from 400 to 505, and the connection ends.
    Settings, as class or instance attributes (a factory's `timeOut` and `requestFactory` take the place of these):

    - `MAX_LENGTH`: bytes of the longest request line or field; beyond it 414 or 431. `totalHeadersSize`, `maxHeaders`:
      of a head, in bytes and in fields; beyond it 431.
    - `timeOut`: seconds between requests, or None. `headTimeOut`: seconds for a head; then 408.
    - `stallTime`: seconds without progress after which a peer that takes no output is reset. `lingerTime`: seconds that
      a peer may take to end its half. `abortTimeout`: seconds that the end of an idle connection may take, or None.
    - `maxPipelined`: requests that wait for their answers. `maxRequests`: requests of one connection, or None.
    - `maxContentLength`: bytes of a body that is kept for a Request whose `process` needs it whole; beyond it 413.
    """

    MAX_LENGTH = MAX_LINE
    batchEndsAtEmptyLine = True
    maxHeaders = MAX_FIELDS
    totalHeadersSize = MAX_HEAD
    maxPipelined = 16
    maxRequests: int | None = None
    maxContentLength = 1024 * 1024
    timeOut: float | None = 60.0
    headTimeOut: float = 10.0
    stallTime: float = 60.0
    lingerTime: float = 5.0
    abortTimeout: float | None = 15.0

    requestFactory: Any = Request
    #: Whether the peer takes less than is written.
    isFull = False
    _deadlines: Deadlines | None = None
    _skipped = False
    _isOver = False
    _advances = False
    _decoder: Decoder | None = None
    receiving: Any = None  # the request whose body is coming
    _received = 0
    _owesContinue = False
    _mayUpgrade = False
    _upgrading: Any = None
    _stalledAt: int | None = None
    _producer: Any = None
    _pulls = False
    _lastChance = False
    _inRead = False
    _idle: Any = None

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.requestCount = 0
        self.waitsIn: set[Any] | None = None
        self._phase = IDLE
        self._holds = 0
        self._lines: list[bytes] | None = None

    # Lines: heads.

    def connectionMade(self) -> None:
        """See BaseProtocol."""
        transport = self.transport
        transport.registerProducer(self, True)
        if hasattr(self.factory, "channelOpened"):
            self.factory.channelOpened()
        self._wait(self.timeOut)

    def dataReceived(self, data: bytes) -> Any:
        """See LineReceiver. Deadlines are set once a read, not with each request: most have been answered by then."""
        self._inRead = True
        try:
            why = LineReceiver.dataReceived(self, data)
        finally:
            self._inRead = False
        if self._holds & OUTPUT or self._pulls:
            return why  # the deadline is that of the peer's stall
        if self._phase == IDLE:
            if self._lines is not None or self.heldSize:
                self._phase = HEAD
                self._wait(self.headTimeOut)
            else:
                deadline = self._idle
                if deadline is None:
                    self._wait(self.timeOut)
                elif self.waitsIn is not deadline.current or self.waitsIn is None:
                    endWait(self)
                    deadline.begin(self)
        elif self._phase == BUSY:
            self._rest()
        return why

    def linesReceived(self, lines: list[bytes]) -> None:
        """Called with a head, or with those of its lines that have come."""
        if lines[-1] or self._lines is not None:
            whole = self._collect(lines)
            if whole is None:
                return
            lines = whole
        if len(lines) == 1:
            # RFC 9112, 2.2: some clients send an empty line behind a body. More than one is no mistake.
            if self._skipped:
                self._refuse(HTTPError(400, "empty lines before a request"))
            self._skipped = True
            return
        try:
            line, pairs, known, length, persistent, expects = self._headOf(lines)
        except HTTPError as error:
            self._refuse(error)
            return
        self._skipped = False
        request = self.requestFactory(self)
        request.persistent = persistent
        self.requestCount += 1
        tally = getattr(self.transport, "tally", None)
        if tally is not None:
            tally.addRequest()
        if self.requestCount == self.maxRequests:
            request.persistent = False
        request.begin(line, pairs, known)
        requests = self.requests
        if requests:
            request.queued = True
        requests.append(request)
        if length:
            self._mayUpgrade = b"upgrade" in known
            self._bodyBegins(request, length, expects, lines)
            return
        self._phase = BUSY
        if not self._inRead:
            self._rest()
        if len(requests) >= self.maxPipelined:
            self._hold(QUEUE)
        if b"upgrade" in known and persistent:
            self._holdFor(request)
        if line[0] == b"CONNECT":
            self._hold(TUNNEL)
        elif not request.persistent:
            self._takeNoMore()
            self._isOver = not persistent  # with maxRequests the client may send more
        if not request.streams:
            request.gotLength(0)
            if request.finished:  # a program may answer in gotLength
                return
        self._run(request)

    def _headOf(self, lines: list[bytes]) -> tuple[Any, ...]:
        """Return the parts of a head: its first line, its fields twice, and what they decide (see head.Block)."""
        method, target, minor = knownRequestLine(lines[0])
        if len(lines) > self.maxHeaders + 2:
            self._checkSize(lines)
        fields = lines[1:-1]
        block = b"\r\n".join(fields)
        if len(block) + len(lines[0]) + 6 > self.totalHeadersSize:
            self._checkSize(lines)
        if minor and target[0] == 47:
            pairs, known, length, persistent, expects = parseBlock(fields, block)
        else:
            pairs, known = parseFields(fields)
            pairs = checkHost(pairs, known, target, minor)
            length = requestLength(known, minor)
            expects = expectsContinue(known, minor)
            # RFC 9110, 9.3.6: behind an answer to CONNECT there is a tunnel, or nothing.
            persistent = method != b"CONNECT" and persists(known, minor)
        if length and method == b"CONNECT":
            raise HTTPError(400, "CONNECT with a body")  # RFC 9110, 9.3.6: parsers differ about it
        return (method, target, _VERSIONS[minor]), pairs, known, length, persistent, expects

    def _collect(self, lines: list[bytes]) -> list[bytes] | None:
        """Keep the lines of a head that has not come whole; return it when it has."""
        try:
            if self._lines is None:
                if lines[0]:
                    parseRequestLine(lines[0])  # what is no HTTP is refused at once
                self._lines = lines
            else:
                self._lines += lines
                lines = self._lines
            self._checkSize(lines)
        except HTTPError as error:
            self._refuse(error)
            return None
        if lines[-1]:
            return None
        self._lines = None
        return lines

    def _checkSize(self, lines: list[bytes]) -> None:
        if len(lines) > self.maxHeaders + 2:
            raise HTTPError(431, f"more than {self.maxHeaders} fields")
        # Joining them is twice as fast as adding up their lengths.
        if len(b"".join(lines)) + 2 * len(lines) > self.totalHeadersSize:
            raise HTTPError(431, f"a head of more than {self.totalHeadersSize} bytes")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called for a line that is too long: answers 414 or 431."""
        isField = self._lines is not None
        self._refuse(HTTPError(431 if isField else 414, f"a line of more than {self.MAX_LENGTH} bytes"))

    def _run(self, request: Any) -> None:
        """Let the program answer."""
        try:
            request.requestReceived(request.method, request.uri, request.clientproto)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # also the CancelledError of asyncio, and GeneratorExit
            request.processingFailed(Failure())

    # Raw data: bodies.

    def _bodyBegins(self, request: Any, length: int, expects: bool, lines: list[bytes]) -> None:
        """A request with a body has come."""
        if not request.streams and length > self.maxContentLength:
            self._refuseRequest(request, HTTPError(413))
            return
        self.receiving = request  # before gotLength: there a program may answer, and the rest of the body is dropped
        isWhole = length != CHUNKED and self.heldSize >= length
        if isWhole:
            self._decoder = LengthDecoder(0)
        else:
            size = sum(map(len, lines)) + 2 * len(lines)
            self._decoder = decoderFor(length, len(lines) - 2, size, self.maxHeaders, self.totalHeadersSize)
        self._received = 0
        self._owesContinue = expects and not self.heldSize
        self._phase = BODY  # until the request has its end
        request.gotLength(length if length != CHUNKED else None)
        if self.receiving is not request:
            return  # it is answered, and the connection ends
        if isWhole:
            self._decoder = None
            body = self.takeReceived(length)
            if not request.finished:
                request.handleContentChunk(body)
            self._bodyEnded(())
            if request.streams:
                self._run(request)
            return
        self.setRawMode()
        self._wait(GRACE)
        if request.streams:
            self._run(request)
        elif not request.finished:
            self.wantBody(request)

    def rawDataReceived(self, data: bytes) -> None:
        """Called with a part of a body, and what follows it; at the end of a connection, with what is dropped."""
        decoder = self._decoder
        if decoder is None:
            return
        self._received += len(data)
        self._owesContinue = False
        request = self.receiving
        try:
            piece, rest = decoder.feed(data)
            if (
                not (request.streams or request.finished)
                and request.content.tell() + len(piece) > self.maxContentLength
            ):
                raise HTTPError(413)
        except HTTPError as error:
            self._refuseRequest(request, error)
            return
        if piece and not request.finished:
            request.handleContentChunk(piece)
        if rest is not None and self._decoder is decoder:
            self._decoder = None
            self.setLineMode(rest)
            self._bodyEnded(decoder.trailers)

    def _bodyEnded(self, trailers: Sequence[Pair]) -> None:
        """The last piece of a body has come."""
        request, self.receiving = self.receiving, None
        self._letGo(CONTENT)
        self._phase = BUSY
        self._rest()
        request.trailers = trailers
        if not request.persistent:  # before the program goes on: its answer may end the connection, with a deadline
            self._takeNoMore()
            self._isOver = not persists(request.knownFields, request.clientproto == _VERSIONS[1])
        if request.streams:
            request.bodyEnded(trailers)
        if len(self.requests) >= self.maxPipelined:
            self._hold(QUEUE)
        if self._mayUpgrade and request.persistent and not request.finished:
            self._holdFor(request)
        if request.finished:
            self._answered()
        elif not request.streams:
            self._run(request)

    def wantBody(self, request: Any) -> None:
        """Called by a request whose program reads the body now. The client may wait for a word (RFC 9110, 10.1.1)."""
        if self.receiving is request:
            if self._owesContinue:
                self._owesContinue = False
                self._received = int(MIN_RATE * GRACE)  # the body may begin late
                if not request.startedWriting:
                    request.send(_CONTINUE)  # else the head of the answer is the word
            self._letGo(CONTENT)

    def holdBody(self) -> None:
        """Called by a request whose program does not keep up with its body."""
        self._hold(CONTENT)

    def releaseBody(self) -> None:
        """Called by a request whose program has caught up."""
        self._letGo(CONTENT)

    def decidePersistence(self, request: Any) -> None:
        """Called by a request before the head of its answer. A body that is not wanted any more may be too long."""
        decoder = self._decoder
        if self.receiving is request and request.persistent:
            short = isinstance(decoder, LengthDecoder) and decoder.left <= MOST_DROPPED
            request.persistent = short and not self._owesContinue

    # Answers.

    def write(self, data: bytes | memoryview) -> None:
        """Called by requests with what goes out."""
        if self._stalledAt is not None:
            self._stalledAt += len(data)
        self.transport.write(data)

    def writeLarge(self, data: bytes | memoryview) -> None:
        """Called by requests with a large piece: the peer gets it at once, if nothing waits before it."""
        if self._stalledAt is None and isinstance(self.transport, OutputStream):
            self.transport.writeLarge(data)
        else:
            self.write(data)

    def turn(self) -> Deferred[None] | None:
        """Return a Deferred that fires when other connections have had their turn. None if writes are only gathered."""
        if not isinstance(self.transport, OutputStream):
            return None
        turn: Deferred[None] = Deferred(lambda _: later.cancel())
        later = self.transport.reactor.callLater(0, turn.callback, None)
        return turn

    def writeSequence(self, iovec: Any) -> None:
        """Send the pieces, in order."""
        self.transport.writeSequence(iovec)

    def requestDone(self, request: Any) -> None:
        """Called by the first request when its answer is complete."""
        requests = self.requests
        if not requests or requests[0] is not request:
            raise TypeError(f"{request} is not the first of the requests that wait")
        del requests[0]
        if not request.persistent:
            self._end()
            return
        if self.receiving is not request:
            self._answered()
        else:
            self._letGo(CONTENT)  # the rest of its body is dropped

    def plainDone(self, request: Any) -> None:
        """Do what requestDone does, for a request that persists and has come whole."""
        requests = self.requests
        del requests[0]
        if self._stalledAt is not None:
            self._stalledAt += request.sentLength
        if self._inRead and not requests and self._phase == BUSY and not self._holds:
            self._phase = IDLE
        else:
            self._answered()

    def _answered(self) -> None:
        """A request is answered, and its body has come whole."""
        if self._advances:
            return
        requests = self.requests
        if requests:
            self._advances = True  # a loop, as each of sixteen answers that are ready would call this again
            try:
                while self.requests and self.requests[0].queued:
                    self.requests[0].noLongerQueued()
            finally:
                self._advances = False
        if not self.requests and self._phase == BUSY:
            self._phase = IDLE if self._lines is None and not self.heldSize else HEAD
            self._waitForInput()
        if self._holds & QUEUE and len(self.requests) < self.maxPipelined:
            self._letGo(QUEUE)
        if self._upgrading is not None and self._upgrading not in self.requests:
            self._upgrading = None
            self._letGo(TUNNEL)

    def _refuseRequest(self, request: Any, error: HTTPError) -> None:
        """Answer a request whose body is refused, unless the program has answered already."""
        self._count(error)
        wasAnswered = request.finished
        request.persistent = False
        self._takeNoMore()
        body = getattr(request, "body", None)
        if body is not None:
            body.fail(error)  # a handler that waits for it gives the answer
        if not (request.finished or request.startedWriting):
            request.refuse(error)
            request.giveUp()
        elif not request.finished:
            self.abort()
        elif wasAnswered and not self.requests:
            self._end()  # the answer is out, and its connection was to persist

    def _refuse(self, error: HTTPError) -> None:
        """Answer what cannot be understood, behind the answers of earlier requests; then the connection ends."""
        self._count(error)
        self._takeNoMore()
        request = Request(self, bool(self.requests))
        request.method = request.uri = b"-"
        request.clientproto = b"HTTP/1.1"
        request.persistent = False
        self.requests.append(request)
        request.refuse(error)

    def _count(self, error: HTTPError) -> None:
        counts = getattr(self.factory, "refusedCounts", None)
        if counts is not None:
            counts[error.code] += 1
        log.limited(logging.INFO, "A request from %s is refused: %s", self.getPeer(), error)

    # The end.

    def _takeNoMore(self) -> None:
        """No further request is read."""
        self._phase = ENDING
        self._decoder = None
        self.receiving = None
        self._lines = None
        self._rest()
        self.clearLineBuffer()
        self.setRawMode()

    def _end(self) -> None:
        """The last answer is written: end our half, then the connection."""
        transport = self.transport
        lingers = not self._isOver and hasattr(transport, "loseWriteConnection")
        self._takeNoMore()
        for request in self.requests:
            request.connectionLost(Failure(connectionDone.value))
        self.requests = []
        self._stalledAt = None
        self._wait(self.lingerTime)
        if not lingers:
            self.loseConnection()
            return
        self._holds = 0
        self.isFull = self.paused = False
        self._detach()
        transport.resumeProducing()
        transport.loseWriteConnection()

    def _detach(self) -> None:
        """Ask nothing more of producers, as the connection ends."""
        self.transport.unregisterProducer()
        self._pulls = False
        self.stopProducing()

    def loseConnection(self) -> None:
        """Close the connection when what was written has been sent."""
        self._detach()
        self.transport.loseConnection()

    def abort(self) -> None:
        """End the connection at once: the peer must not take an answer for complete."""
        self._takeNoMore()
        self._detach()
        self.transport.abortConnection()

    def closeSoon(self) -> None:
        """End in order: answer the requests that have come, take no more, then close.

        The last answer says `Connection: close`, unless its head has been written. Without a request under way the
        connection is closed at once.
        """
        if self._phase in (ENDING, TAKEN):
            return
        if not self.requests:
            self.loseConnection()
        else:
            self.requests[-1].persistent = False
            if self.receiving is None:
                self._takeNoMore()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See Protocol. Requests that have no answer are told."""
        endWait(self)
        self._phase = ENDING
        self._leaveFactory()
        requests, self.requests = self.requests, []
        for request in requests:
            try:
                request.connectionLost(reason)
            except Exception:
                log.exception("%s has failed at the end of its connection", request)

    def _leaveFactory(self) -> None:
        if hasattr(self.factory, "channelClosed"):
            self.factory.channelClosed()

    # Deadlines.

    def callLater(self, period: float, func: Any) -> Any:
        """The current reactor's callLater. A factory with a reactor, and tests, replace it."""
        return _current.current().callLater(period, func)

    def setTimeout(self, period: float | None) -> float | None:
        """Set the seconds between requests, None for no deadline; from now on if none is running. Return the earlier.

        As of Twisted's TimeoutMixin.
        """
        previous, self.timeOut = self.timeOut, period
        self._idle = None
        if self._phase == IDLE:
            self._wait(period)
        return previous

    def resetTimeout(self) -> None:
        """Start the time between requests again."""
        if self._phase == IDLE:
            self._wait(self.timeOut)

    def _wait(self, period: float | None) -> None:
        endWait(self)
        if period is None:
            return
        deadlines = self._deadlines
        if deadlines is None:
            deadlines = self._findDeadlines()
            if deadlines is None:
                return
        deadline = deadlines.of(period)
        deadline.begin(self)
        if self._phase == IDLE:
            self._idle = deadline

    def _findDeadlines(self) -> Deadlines | None:
        """A channel without a factory has deadlines if it knows a reactor, or has a callLater of its own."""
        if hasattr(self.factory, "deadlinesOf"):
            self._deadlines = self.factory.deadlinesOf(self)
        elif "callLater" in vars(self) or type(self).callLater is not HTTPChannel.callLater:
            self._deadlines = Deadlines(self.callLater)
        elif hasattr(self.transport, "reactor"):
            self._deadlines = Deadlines(self.transport.reactor.callLater)
        return self._deadlines

    def waitedTooLong(self) -> None:
        """Called by the deadline of the phase."""
        if self._lastChance:
            self.forceAbortClient()
        elif self._holds & OUTPUT:
            self._stalled()
        elif self._pulls:
            self._pullStalled()
        elif self._phase == IDLE:
            self.timeoutConnection()
        elif self._phase == HEAD:
            self._refuse(HTTPError(408, "the head of the request has not come in time"))
        elif self._phase == BODY:
            self._checkRate()
        elif self._phase == BUSY:
            self._look()
        else:
            self._stalled()

    def _look(self) -> None:
        """Nothing is read, as requests wait for their answers. See whether the client has ended meanwhile.

        If so, nothing more can come but what the system holds already. It is kept unread, and the end follows it.
        """
        if not self._holds:
            return
        if hasEnded(self.transport):
            self.transport.resumeProducing()
        else:
            self._wait(LOOK)

    def _checkRate(self) -> None:
        if self._holds or self._owesContinue or self._received >= MIN_RATE * GRACE:
            self._received = 0
            self._wait(GRACE)
        else:
            self._refuseRequest(self.receiving, HTTPError(408, "the body of the request comes too slowly"))

    def _stalled(self) -> None:
        """The peer has taken no more output, or has not ended the connection: reset it, unless it is only slow."""
        unsent = getattr(self.transport, "unsent", 0)
        if unsent and (self._stalledAt is None or unsent < self._stalledAt):
            self._stalledAt = unsent
            self._wait(self.stallTime)
        else:
            self.forceAbortClient()

    def _pullStalled(self) -> None:
        """The transport has not asked its producer for more in time. The peer is slow, or the producer is."""
        if getattr(self.transport, "unsent", 0):
            self._stalled()
        else:
            self._wait(self.stallTime)

    def timeoutConnection(self) -> None:
        """Called when no request has come in time: closes the connection, and resets it after `abortTimeout`."""
        self._lastChance = True
        self._wait(self.abortTimeout)
        self._detach()
        closeFor(self.transport, IdleTimeout(f"{self.timeOut:g} s without a request"))

    def forceAbortClient(self) -> None:
        """Called when the connection has not ended in time: resets it."""
        self.transport.abortConnection()

    # Back-pressure: the channel is the transport's producer, and the programs' producers are behind it.

    def _holdFor(self, request: Any) -> None:
        """Read nothing until `request` is answered. The bytes behind it may be of another protocol."""
        self._upgrading = request
        self._hold(TUNNEL)

    def _hold(self, cause: int) -> None:
        if not self._holds:
            LineReceiver.pauseProducing(self)
        self._holds |= cause
        if cause in (QUEUE, TUNNEL) and self._phase == BUSY:
            self._rest()

    def _letGo(self, cause: int) -> None:
        if self._holds & cause:
            self._holds &= ~cause
            if cause == CONTENT:
                self._received = int(MIN_RATE * GRACE)  # the peer had no chance to send in the time that has begun
            if not self._holds:
                LineReceiver.resumeProducing(self)

    def pauseProducing(self) -> None:
        """Called by the transport when the peer takes no more."""
        self._hold(OUTPUT)
        self.isFull = True
        self._stalledAt = getattr(self.transport, "unsent", None)
        self._wait(self.stallTime)
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Called by the transport when the peer has taken everything."""
        self._holds &= ~OUTPUT  # first, as a producer that goes on may fill the transport again
        self.isFull = False
        self._stalledAt = None
        self._waitForInput()
        if self._producer is not None:
            self._producer.resumeProducing()
        if self.requests:
            self.requests[0].goOnSending()
        if not self._holds and self.paused:
            LineReceiver.resumeProducing(self)

    def _waitForInput(self) -> None:
        """Begin the deadline of the input's phase, unless the one for output runs."""
        if self._phase in (IDLE, HEAD, BODY) and not (self._holds & OUTPUT or self._pulls):
            self._received = 0
            self._wait({IDLE: self.timeOut, HEAD: self.headTimeOut, BODY: GRACE}[self._phase])
        else:
            self._rest()

    def _rest(self) -> None:
        """End the deadline, unless it is that for output. If nothing is read, the client is looked at from now on."""
        if not (self._holds & OUTPUT or self._pulls):
            if self._holds and self._phase == BUSY:
                self._wait(LOOK)
            else:
                endWait(self)

    def pulled(self) -> None:
        """Called when the transport asks a pull producer for more: the peer has taken everything."""
        self._stalledAt = None
        self._wait(self.stallTime)

    def stopProducing(self) -> None:
        """Called when the connection ends, by the transport and by the channel: tells the producer, once."""
        producer, self._producer = self._producer, None
        if producer is not None:
            beside(producer.stopProducing())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Called by the first request for its producer. RuntimeError if there is one."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: there is one")
        if streaming:
            self._producer = producer
            if self.isFull:
                producer.pauseProducing()
            return
        self._producer = producer
        self._pulls = True
        self.transport.unregisterProducer()
        self.transport.registerProducer(_Pulled(self, producer), False)
        self.isFull = False
        self._letGo(OUTPUT)  # the transport tells the channel no more when the peer takes output again

    def unregisterProducer(self) -> None:
        """Called by the first request."""
        self._producer = None
        if self._pulls:
            self._pulls = False
            self._stalledAt = None
            self._waitForInput()
            self.transport.unregisterProducer()
            self.transport.registerProducer(self, True)

    # For requests.

    def getPeer(self) -> Any:
        """Return the peer's address."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Return the address on our side."""
        return self.transport.getHost()

    def isSecure(self) -> bool:
        """Whether the connection is TLS."""
        return isinstance(self.transport, ISSLTransport)

    def checkTakeOver(self, request: Any) -> None:
        """RuntimeError unless `request` may hand over the connection."""
        if self.requests != [request] or self.receiving is not None:
            raise RuntimeError("a connection is handed over by its only request, behind its body")

    def takeOver(self, request: Any, protocol: Any) -> None:
        """Called by `request`, whose answer has been written: from now on the connection is that of `protocol`."""
        self._phase = TAKEN
        endWait(self)
        self._leaveFactory()
        self.requests = []
        rest = self.clearLineBuffer()
        self.transport.unregisterProducer()
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        self.connectionLost = protocol.connectionLost  # type: ignore[method-assign]
        if self._holds:
            self._holds = 0
            self.isFull = self.paused = False
            self.transport.resumeProducing()
        try:
            beside(protocol.makeConnection(self.transport), self._takerFailed)
            if rest:
                beside(protocol.dataReceived(rest), self._takerFailed)
        except Exception:
            self._takerFailed(Failure())

    def _takerFailed(self, failure: Failure) -> None:
        """The protocol that has the connection has failed with what was received before."""
        failTransport(self, failure, log)


class _Pulled:
    """A pull producer of a request. Each question of the transport for more shows that the peer takes output."""

    def __init__(self, channel: HTTPChannel, producer: Any) -> None:
        self._channel = channel
        self._producer = producer

    def resumeProducing(self) -> Any:
        self._channel.pulled()
        return self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._channel.stopProducing()
