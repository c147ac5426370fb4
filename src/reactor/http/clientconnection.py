"""A connection of the client: requests go out one after the other, and each response comes back before the next.

A head comes in line mode, in batches of lines that end at the empty one. A body comes in raw mode. Between two
exchanges the connection is in raw mode, too. Data that the server then sends is noticed, even half a line, and ends the
connection. It is never taken for the answer to the next request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from reactor._beside import beside
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.http.bodies import Decoder, decoderFor
from reactor.http.clienterrors import BadResponse, NoResponse
from reactor.http.errors import BodyLost, HTTPError
from reactor.http.exchange import SENT, Exchange
from reactor.http.head import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_LINE,
    UNTIL_CLOSE,
    Pair,
    parseFields,
    parseStatusLine,
    persists,
    responseLength,
)
from reactor.http.headers import Headers
from reactor.http.incoming import ClientResponse, Inflow, NoInflow, ResponseBody
from reactor.http.peerend import untaken
from reactor.http.sending import BodySender
from reactor.linereceiver import LineReceiver
from reactor.protocol import connectionDone

MAX_INTERIM = 16  # responses of the codes 100 to 199 before the one that counts (RFC 9110, 15.2)
EXPECT_WAIT = 1.0  # seconds that a body is held back for a 100, as the server may not know it (RFC 9110, 10.1.1)

_FOLDABLE_NEVER = (b"transfer-encoding", b"content-length", b"connection")


class Owner(Protocol):
    """The pool, for its connections."""

    def freed(self, connection: ClientConnection) -> None:
        """The connection has done its exchange, and can have another one."""

    def spent(self, connection: ClientConnection) -> None:
        """The connection can have no other exchange. There may be several calls."""

    def ended(self, connection: ClientConnection) -> None:
        """The connection has ended."""

    def repeat(self, exchange: Exchange) -> None:
        """The server has most probably not got the request: send it on a new connection. `ended` is called next."""


class ClientConnection(LineReceiver):
    """See the module. `exchangeCount` is the number of exchanges that have begun here."""

    MAX_LENGTH = MAX_LINE
    batchEndsAtEmptyLine = True

    def __init__(self, owner: Owner, connected: Callable[[ClientConnection], None]) -> None:
        self._owner = owner
        self._connected = connected
        self._exchange: Exchange | None = None
        self._lines: list[bytes] = []
        self._size = 0
        self._interimCount = 0
        self._decoder: Decoder | None = None
        self._sender: BodySender | None = None
        self._persists = False
        self._hasHeard = False
        self._wait: Any = None
        # Bytes of the request's body that finished senders have written. Then those that the peer's system had taken
        # by the last look, and those that it had not.
        self._written = self._taken = self._left = 0
        self.exchangeCount = 0

    def connectionMade(self) -> None:
        """Tell the pool, which begins an exchange."""
        self.line_mode = 0
        connected, self._connected = self._connected, _never
        connected(self)

    # A request.

    def begin(self, exchange: Exchange) -> None:
        """Send the request of `exchange`. The connection is idle."""
        self._exchange = exchange
        self.exchangeCount += 1
        exchange.phase = SENT
        exchange.giveUp = self.abandon
        self._interimCount = 0
        self._persists = self._hasHeard = False
        self._clearHead()
        self.line_mode = 1
        request = exchange.request
        self.transport.write(request.head + request.whole)
        if request.body is None:
            return
        self._written = self._taken = self._left = 0
        self._sender = BodySender(exchange.reactor, request, self._progressed, self._bodySent)
        exchange.waitsForProgram = self._waitsForProgram
        exchange.hasTaken = self._hasTaken
        if request.expects:
            self._wait = exchange.reactor.callLater(EXPECT_WAIT, self._sendBody)
        else:
            self._sendBody()

    def _waitsForProgram(self) -> bool:
        sender = self._sender
        return sender is not None and self._wait is None and not sender.isPaused

    def _hasTaken(self) -> bool:
        """Whether the peer's system has taken more of a body that it had not taken whole at the last look.

        A peer may read so slowly that for minutes the system asks for no more, as its own buffer is nearly full.
        """
        written = self._written + (0 if self._sender is None else self._sender.written)
        before, wasLeft = self._taken, self._left
        self._left = untaken(self.transport)
        self._taken = written - self._left
        return self._taken > before and wasLeft > 0

    def _progressed(self) -> None:
        self._hasTaken()
        if self._exchange is not None:
            self._exchange.restart()

    def _sendBody(self) -> None:
        self._stopWaiting()
        if self._sender is not None:
            self._sender.start(self.transport)
            self._hasTaken()

    def _stopWaiting(self) -> None:
        wait, self._wait = self._wait, None
        if wait is not None and wait.active():
            wait.cancel()

    def _bodySent(self, failure: Failure | None) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            self._written += sender.written
        exchange = self._exchange
        if exchange is None:
            return
        if failure is not None:
            exchange.fail(failure)
        else:
            self._progressed()

    # The head of a response.

    def linesReceived(self, lines: list[bytes]) -> None:
        """Lines of a head, up to the empty one that ends it, or as many as have come."""
        self._hasHeard = True
        held = self._lines
        held += lines
        self._size += sum(map(len, lines)) + 2 * len(lines)
        isWhole = not lines[-1]
        # The empty line counts in neither limit, and the first line not as a field.
        if self._size - 2 * isWhole > MAX_HEAD:
            self._refuse(f"the head of the response has more than {MAX_HEAD} bytes")
        elif len(held) - isWhole > MAX_FIELDS + 1:
            self._refuse(f"the head of the response has more than {MAX_FIELDS} fields")
        elif isWhole:
            held.pop()
            try:
                self._headLinesReceived(held)
            except HTTPError as error:
                self._refuse(error.text)

    def _headLinesReceived(self, lines: list[bytes]) -> None:
        minor, code, reason = parseStatusLine(lines[0] if lines else b"")
        pairs, known = parseFields(_unfolded(lines[1:]))
        self._headReceived(minor, code, reason, pairs, known)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Give up: no line of a head is that long."""
        self._hasHeard = True
        self._refuse(f"a line of the response's head has more than {MAX_LINE} bytes")

    def _clearHead(self) -> None:
        self._lines = []
        self._size = 0

    def _headReceived(self, minor: int, code: int, reason: bytes, pairs: list[Pair], known: dict[bytes, bytes]) -> None:
        exchange = self._exchange
        assert exchange is not None, "between exchanges there are no lines"
        if code < 200 and code != 101:
            # RFC 9112, 6.1, and RFC 9110, 8.6: it has no body. After one that speaks of a body, nothing is certain.
            if b"transfer-encoding" in known or known.get(b"content-length", b"0").strip(b"0"):
                raise HTTPError(502, f"a response of the code {code} that speaks of a body")
            self._interimReceived(code)
            return
        request = exchange.request
        if code == 101 and not request.upgrades:
            raise HTTPError(502, "101 without a request for it")
        # As if there were a body: a contradiction is one after HEAD, too.
        framed = responseLength(known, minor, 200, b"GET")
        length = responseLength(known, minor, code, request.method)
        # A 204 that speaks of a body may be followed by one, and that by our next response (RFC 9112, 6.1 and 6.3).
        staysOpen = persists(known, minor) and (code != 204 or framed in (0, UNTIL_CLOSE))
        self._persists = staysOpen and not request.closes
        size, count = self._size, len(pairs)
        self._clearHead()
        kind = NoInflow if code == 101 else Inflow
        inflow = kind(
            length,
            lambda: self._pauseReading(exchange),
            lambda: self._resumeReading(exchange),
            lambda: self._dropped(exchange),
        )
        body = ResponseBody(inflow, exchange.maxBody, getattr(exchange.reactor, "callFromThread", _never))
        response = ClientResponse(code, reason, minor, Headers.ofPairs(pairs), body, inflow)
        if self._sender is not None and (self._wait is not None or (code >= 300 and not staysOpen)):
            self._dropUnsent()
        exchange.answered(inflow)
        if code == 101:
            self.pauseProducing()
            exchange.suspend()
            response._takeOver = lambda protocol: self._takeOver(exchange, inflow, protocol)
            self._owner.spent(self)
        elif length == 0:
            self._bodyReceived(exchange, inflow)
        else:
            self._decoder = decoderFor(length, count, size)
            self.setRawMode()
        exchange.tell(response)

    def _interimReceived(self, code: int) -> None:
        """RFC 9110, 15.2: a client reads past those that it does not expect, or does not know."""
        self._interimCount += 1
        if self._interimCount > MAX_INTERIM:
            raise HTTPError(502, f"more than {MAX_INTERIM} responses of the codes 100 to 199")
        self._clearHead()
        if code == 100 and self._wait is not None:
            self._sendBody()

    def _dropUnsent(self) -> None:
        """The server does not want the body: RFC 9110, 10.1.1 and RFC 9112, 9.5. It may still expect one here."""
        self._stopWaiting()
        self._stopSending()
        self._persists = False

    # Its body.

    def rawDataReceived(self, data: bytes) -> None:
        """Data of the body, or data that no request has asked for."""
        decoder, exchange = self._decoder, self._exchange
        if decoder is None or exchange is None or exchange.inflow is None:
            self.abandon()
            return
        try:
            piece, rest = decoder.feed(data)
        except HTTPError as error:
            self._refuse(error.text)
            return
        if rest is not None:
            for name, value in decoder.trailers:
                exchange.inflow.trailers.addRawHeader(name, value)
            self._bodyReceived(exchange, exchange.inflow, piece, rest)
        elif piece:
            exchange.restart()
            exchange.inflow.put(piece)

    def _bodyReceived(self, exchange: Exchange, inflow: Inflow, last: bytes = b"", rest: bytes = b"") -> None:
        """The response is complete. `rest` is what came after it, which belongs to no response.

        The program gets the end last: its next request can have this connection then.
        """
        self._exchange = self._decoder = None
        self.setRawMode()
        isSent = self._sender is None
        exchange.finish()
        if self._persists and isSent and not rest and not self.heldSize and not self.transport.disconnecting:
            self._owner.freed(self)
        elif isSent:
            self.closeIdle()
        else:
            self.abandon()
        inflow.end(last=last)

    def _pauseReading(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            exchange.suspend()
            self.transport.pauseProducing()

    def _resumeReading(self, exchange: Exchange) -> None:
        if self._exchange is exchange and not self.transport.disconnecting:
            exchange.restart()
            self.transport.resumeProducing()

    # Its ends.

    def abandon(self) -> None:
        """End the connection, and drop what is unsent."""
        self._leave()
        self.transport.abortConnection()

    def closeIdle(self) -> None:
        """End the connection, which has no exchange now, in order."""
        self._leave()
        self.transport.loseConnection()

    def closeNow(self) -> None:
        """The client was closed: end the connection, and the exchange that it has."""
        if self._exchange is not None:
            self._exchange.close()
        else:
            self.closeIdle()

    def _leave(self) -> None:
        self._exchange = None
        self._decoder = None
        self._stopWaiting()
        self._stopSending()
        self._owner.spent(self)

    def _stopSending(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.stop()

    def _refuse(self, why: str) -> None:
        if self._exchange is not None:
            self._exchange.fail(BadResponse(why))
        else:
            self.abandon()

    def _dropped(self, exchange: Exchange) -> None:
        """The program wants no more of the body."""
        if self._exchange is exchange:
            exchange.finish()
            self.abandon()

    def _takeOver(self, exchange: Exchange, inflow: Inflow, protocol: Any) -> None:
        if self._exchange is not exchange:
            raise RuntimeError("the connection has ended, or was given up")
        self._exchange = None
        exchange.finish()
        inflow.end()
        self._owner.ended(self)
        transport, rest = self.transport, self.clearLineBuffer()
        transport.protocol = protocol
        beside(protocol.makeConnection(transport))
        if rest:
            beside(protocol.dataReceived(rest))
        if not transport.disconnecting:
            transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the exchange: a body may end in this way, and a head may not."""
        exchange, decoder = self._exchange, self._decoder
        if exchange is not None and exchange.phase == SENT and self._mayRepeat(exchange):
            self._owner.repeat(exchange)
            exchange = None
        self._leave()
        self._owner.ended(self)
        if exchange is None:
            return
        exchange.giveUp = _never
        inflow = exchange.inflow
        if inflow is not None:
            if decoder is not None and decoder.close() and reason.check(ConnectionDone):
                exchange.finish()
                inflow.end()
            else:
                exchange.fail(BodyLost(f"the connection ended before the body did: {reason.getErrorMessage()}"))
        else:
            text = f"the connection ended before the head of the response: {reason.getErrorMessage()}"
            exchange.fail(NoResponse(text, reason.value))

    def _mayRepeat(self, exchange: Exchange) -> bool:
        """Whether the server has most probably ended an idle connection, and a second time does no harm."""
        request = exchange.request
        isStale = self.exchangeCount > 1 and not self._hasHeard and not self.heldSize
        hasItsBody = request.isReplayable or self._wait is not None
        return isStale and not exchange.isRepeated and request.isIdempotent and hasItsBody


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Join lines that were folded, as RFC 9112, 5.2 has it for clients. HTTPError where framing depends on it."""
    if not any(line[0] in b" \t" for line in lines):
        return lines
    joined: list[bytes] = []
    for line in lines:
        if line[0] not in b" \t":
            joined.append(line)
        elif not joined or joined[-1].partition(b":")[0].lower() in _FOLDABLE_NEVER:
            raise HTTPError(502, "a line of the head begins with a space, where nothing can be continued")
        else:
            joined[-1] += b" " + line.strip(b" \t")
    return joined


def _never(*_: object) -> None:
    """Do nothing, in the place of a call that has no meaning."""
