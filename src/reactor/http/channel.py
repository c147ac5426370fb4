"""HTTPChannel: one connection of an HTTP/1.1 server. A LineReceiver whose lines are heads and whose raw data is bodies.

How it works
============

In line mode the line core gives each head as one batch, since batches end at empty lines. So whatever a head decides
counts for the bytes after it. A body that has come with its head is taken at once. Otherwise the channel sets raw
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
wait, or a handler takes its body slower than it comes. Or CONNECT or an upgrade has no answer: after it there may be
no HTTP. While the peer takes no output, `stallTime` is the deadline.

A connection that ends while the peer may still send is not closed at once. Closing a socket with unread input resets
the connection, and the reset may destroy the answer on its way. So our half ends, and input is dropped until the peer
ends its half, too (RFC 9112, 9.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reactor._beside import beside, failTransport
from reactor._logger import getLogger
from reactor.failure import Failure
from reactor.http.bodies import LengthDecoder, decoderFor
from reactor.http.channelanswers import Answering
from reactor.http.channelpace import GRACE, MIN_RATE
from reactor.http.channelstate import BODY, BUSY, CONTENT, HEAD, IDLE, OUTPUT, QUEUE, TAKEN, TUNNEL
from reactor.http.errors import HTTPError
from reactor.http.head import (
    CHUNKED,
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
from reactor.http.waits import endWait
from reactor.linereceiver import LineReceiver

log = getLogger("reactor.http")

#: A body that no handler has read is dropped up to this many bytes; for more, the connection ends.
MOST_DROPPED = 64 * 1024

_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HTTPChannel(Answering):
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
            # RFC 9112, 2.2: some clients send an empty line after a body. More than one is no mistake.
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
            # RFC 9110, 9.3.6: after an answer to CONNECT there is a tunnel, or nothing.
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

    # For requests.

    def checkTakeOver(self, request: Any) -> None:
        """RuntimeError unless `request` may hand over the connection."""
        if self.requests != [request] or self.receiving is not None:
            raise RuntimeError("a connection is handed over by its only request, after its body")

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
