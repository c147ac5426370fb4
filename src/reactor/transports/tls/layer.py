"""TLSLayer: TLS between a transport and a protocol. It is the protocol of the one, and the transport of the other.

    protocol  --write-->  TLSLayer (plaintext waits)  --encrypted-->  the transport below (ciphertext waits)
    protocol  <--data---  TLSLayer                    <--ciphertext--  the transport below

So it works over any stream transport of this package. TLSEngine does the work in between.

The handshake comes first. Until it is done and the certificates are verified, there is no protocol. (After startTLS
there is one, and it hears nothing.) Nothing is delivered, and output waits. The handshake has a deadline. The loop
itself may be late, and answer the peer's part of the handshake only after that deadline. Then the peer gets the time
anew for its next part. A part that is not whole gains nothing.

Output. Plaintext waits here, and is encrypted while little ciphertext waits below. See output.py.

Input. Ciphertext is decrypted at once. While the protocol has paused the connection, the plaintext of one read is kept,
and the transport below is paused.

The end. TLS ends with close_notify, each direction on its own (RFC 8446, 6.1).
- loseConnection: everything is encrypted, then close_notify is sent. Then the layer awaits the peer's close_notify, and
  drops the input before it. A socket that is closed with unread input resets the connection, and may destroy output on
  its way.
- The peer's close_notify is its end of stream: ConnectionDone, unless the protocol is half-closeable. It is answered.
- An end of stream without close_notify is a truncation: ConnectionLost. After loseConnection it is none, as nothing
  reads any more.
- One deadline watches closing. A peer that for `closeTimeout` seconds neither takes output nor answers is dropped.

The phases are those of the table in duplex.py, with one more and with other ends of the halves:

    the reading half, `_readHalf`                 moved by
    HANDSHAKE  nothing is delivered, nothing is   the end of the handshake -> OPEN
               encrypted; output waits
    OPEN       input is delivered; it is kept     the peer's end of stream, as soon as the protocol may be told
               while the protocol has paused      -> ENDED
               the layer, and dropped while the
               connection is disconnecting
    ENDED      nothing more is delivered

    the writing half, `_writeHalf`: OPEN, ENDING, ENDED and ABORTED as in duplex.py. ENDED means that close_notify has
    been said. In HANDSHAKE, ENDING waits for the handshake.

    the connection                                moved by
    connected      both halves as above           loseConnection, an abort -> disconnecting
    disconnecting  `_reason` is None: output is   all is encrypted, and close_notify is said -> `_reason` is set; an
                   still encrypted                abort -> `_reason` is set
                   `_reason` is set: the end of   the peer's close_notify, or the end of the transport below
                   the transport below is known   -> disconnected
                   to mean that
    disconnected   the protocol has its end; the  the deadline of closing ends the transport below
                   transport below may live on,
                   to send what it has

The end moves both halves to ENDED, but leaves ABORTED. Apart are `_paused`, the protocol's wish, which the transport
below does not always follow, and in output.py `_blocked` and `_sending`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reactor import protocol as protocols
from reactor._beside import beside
from reactor._closing import goesOn, mayGoOn, tellBroken, tellClosing, tellSkipped
from reactor._logger import getLogger
from reactor.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionUnwanted,
    SSLError,
    TimeoutError,
)
from reactor.failure import Failure, failureOf
from reactor.interfaces import ILowerTransport, ITransportReactor
from reactor.timers import monotonicTime
from reactor.tlsoptions import CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT, ContextFactory
from reactor.transports.duplex import isHalfCloseable, tellStop
from reactor.transports.output import ABORTED, ENDED, ENDING, HANDSHAKE, OPEN, TOLD
from reactor.transports.tls.engine import TLSEngine
from reactor.transports.tls.output import TLSOutput

log = getLogger("reactor.tls")

TRUNCATED = "the peer's stream ended without close_notify"
PLAIN_BYTES = "plain bytes that came before TLS were still to be read"


class TLSLayer(TLSOutput):
    """One TLS connection over the transport `lower`, without the methods that are for protocols only.

    The layer calls `build` after the handshake; that returns the protocol, or None to close. The layer calls `failed`
    with the reason if there never is a protocol, and `ended` after the protocol's connectionLost. The other arguments
    are TLSEngine's.
    """

    fileDescriptorReceived = None  # the bytes below are not the protocol's, nor are descriptors that come with them

    __slots__ = (
        "__weakref__",
        "_build",
        "_deadline",
        "_ended",
        "_failed",
        "_held",
        "_paused",
        "_reason",
        "handshakeTimeout",
        "protocol",
    )

    def __init__(
        self,
        reactor: ITransportReactor,
        contextFactory: ContextFactory,
        isClient: bool,
        hostname: str | None,
        build: Callable[[TLSLayer], Any] | None,
        failed: Callable[[TLSLayer, Failure], None] | None,
        ended: Callable[[Failure], None] | None = None,
    ) -> None:
        engine = TLSEngine(contextFactory, isClient, hostname, partial(monotonicTime, reactor))
        super().__init__(reactor, engine, getattr(contextFactory, "closeTimeout", CLOSE_TIMEOUT))
        self.handshakeTimeout: float = getattr(contextFactory, "handshakeTimeout", HANDSHAKE_TIMEOUT)
        self.protocol: Any = None
        self._build = build
        self._failed = failed
        self._ended = ended
        self._paused = False
        self._deadline = 0.0  # of the handshake
        self._held: list[bytes] = []  # decrypted and not delivered
        self._reason: Failure | None = None  # see the table

    def __repr__(self) -> str:
        peer = self.lower.getPeer() if hasattr(self, "lower") else "nobody yet"
        return f"<{type(self).__name__} of {type(self.protocol).__name__} with {peer}>"

    @property
    def isAccepting(self) -> bool:
        """Whether the handshake with a client is under way."""
        return self._readHalf == HANDSHAKE and self._ended is None

    @property
    def endIsKnown(self) -> bool:
        """Whether the end of the transport below is no news: it has been told, or its reason is decided."""
        return self.disconnected or self._reason is not None

    # For the transport below.

    def makeConnection(self, transport: ILowerTransport) -> None:
        """Called when the connection stands: begins the handshake."""
        self._attachTo(transport)
        self._awaitHandshake()
        self._handshake(b"")

    def dataReceived(self, data: bytes) -> None:
        """Called with ciphertext."""
        if self._readHalf == HANDSHAKE:
            self._handshake(data)
            data = b""
            if self._readHalf == HANDSHAKE:
                return
        if not self.disconnected:
            self._held += self._engine.decrypt(data)
            self._passOn()
            self._deliver()

    def readConnectionLost(self) -> None:
        """Called at the end of the peer's stream."""
        if self._readHalf == HANDSHAKE:
            self.fail(SSLError(string="the peer's stream ended during the TLS handshake"))
        elif self._engine.ended is None:
            self._engine.ended = ConnectionLost(TRUNCATED)
            self._deliver()

    def writeConnectionLost(self) -> None:
        """Never called, as the layer ends no half below. Having it makes the layer half-closeable."""

    @goesOn
    def connectionLost(self, reason: Failure) -> None:
        """Called when the transport below has ended."""
        self._stopTimer()
        self._finish(self._meaningOf(reason))

    # For the reactor and connectors.

    def reactorStops(self) -> None:
        """Called by the transport below before the reactor closes it: send close_notify, and wait for nothing."""
        tellStop(self.protocol)
        # With output unsent, close_notify would claim that everything was sent.
        if self._readHalf != HANDSHAKE and not self.unsent and self._writeHalf < ENDED:
            self._sayGoodbye()
            self.lower.flush()

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol has raised or returned, and end the connection with it."""
        if self.disconnected:  # and the transport below may be sending the rest
            self.reactor.reportFailure(failure, f"a callback of {self!r}")
        else:
            self.lower.failConnection(failure)

    def fail(self, error: BaseException) -> None:
        """Give the handshake up with `error`, and tell `failed`, or the protocol that has called startTLS."""
        if self._readHalf == HANDSHAKE:
            self._finish(Failure(error))

    # The handshake.

    def _handshake(self, data: bytes) -> None:
        try:
            done = self._engine.handshake(data)
        except SSLError as error:
            self._passOn()  # an alert, which tells the peer why
            self.fail(error)
            return
        answered = self._passOn()
        if done:
            self._stopTimer()
            self._readHalf = OPEN
            if self.protocol is None:
                self._attach()
            elif undelivered(self.protocol):
                self._abort(SSLError(string=PLAIN_BYTES))
            else:
                self._handshakeDone()
        elif answered and self._deadline <= monotonicTime(self.reactor):
            self._stopTimer()
            self._awaitHandshake()

    def _awaitHandshake(self) -> None:
        self._deadline = monotonicTime(self.reactor) + self.handshakeTimeout
        self._timer = self.reactor.callLater(self.handshakeTimeout, self.fail, TimeoutError(string="TLS handshake"))

    def _attach(self) -> None:
        """Have the protocol built, and tell it that the connection stands."""
        build, self._build = self._build, None
        assert build is not None
        try:
            protocol = build(self)
        except BaseException as error:
            self.reactor.reportFailure(Failure(), "buildProtocol for", self)
            self._finish(Failure(error if isinstance(error, ConnectError) else ConnectError(string=error)))
            return
        if self.disconnected:  # meanwhile, and `failed` has been called
            protocols.abandon(protocol)
            return
        self._failed = None
        if protocol is None:
            self.protocol = protocols.Protocol()
            if self._ended is None:  # else the client's own factory wants no protocol, and knows that
                tellClosing(self.reactor, self.lower.getPeer(), ConnectionUnwanted())
            self.loseConnection()
        else:
            self.protocol = protocol
            try:
                if (made := protocol.makeConnection(self)) is not None:
                    self._beside(made)
            except BaseException:
                self.lower.flush()  # the end of the handshake, so it does not fail for the peer
                raise
            self._handshakeDone()

    def _handshakeDone(self) -> None:
        """Tell the protocol, then do all that had to wait."""
        completed = getattr(self.protocol, "handshakeCompleted", None)
        if completed is not None and not self.disconnecting and (told := completed()) is not None:
            self._beside(told)
        if self.disconnected:
            return
        if self._paused:
            self.lower.pauseProducing()
        if self.disconnecting and self._writeHalf != ABORTED:
            self._beginClosing()
        if self.unsent:
            self.flush()
        else:
            self._sentAll()

    # Input.

    def _deliver(self) -> None:
        """Give the protocol the input that is held, then the end of it, if it may have them. Send its output."""
        if self.disconnecting:
            self._held.clear()
        elif self._held and not self._paused:
            data = b"".join(self._held)
            self._held.clear()
            self._hold(self.highWater)
            if (result := self.protocol.dataReceived(data)) is not None:
                self._beside(result)
        end = self._engine.ended
        if end is not None and self._readHalf == OPEN and not self._paused:
            self._readHalf = ENDED
            self._inputEnded(end)
        if self._front() is not None:
            self.flush()

    def _deliverLater(self) -> None:
        try:
            self._deliver()
        except BaseException:
            self.failConnection(Failure())

    def _inputEnded(self, end: ConnectionClosed) -> None:
        if self.disconnecting:
            if self._reason is not None:
                self._closeLower()
        elif isinstance(end, ConnectionLost):
            tellBroken(self.lower.getPeer(), end)
            self._finish(Failure(end))
        elif isHalfCloseable(self.protocol):
            if (told := self.protocol.readConnectionLost()) is not None:
                self._beside(told)
        else:
            self._sayGoodbye()
            self._finish(Failure(end))

    # The end.

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self._sayGoodbye()
            self._reason = self._closedInOrder()
            if self._engine.ended is not None:
                self._closeLower()
            else:
                self._watchClosing()
        elif self._writeHalf == ENDING:
            self._sayGoodbye()
            if isHalfCloseable(self.protocol) and (told := self.protocol.writeConnectionLost()) is not None:
                self._beside(told)

    def _beginClosing(self) -> None:
        """Read on, for the peer's answer, and watch that closing makes progress."""
        self._paused = False
        self.lower.resumeProducing()
        self._watchClosing()

    def _abort(self, reason: BaseException) -> None:
        if self.disconnected or self._writeHalf == ABORTED:
            return
        self._writeHalf = ABORTED
        self.disconnecting = True
        self._reason = Failure(reason)
        self._held.clear()
        self._discardOutput()
        self._stopAsking()
        self.lower.abortConnection()

    def _meaningOf(self, reason: Failure) -> Failure:
        """Return the protocol's reason, if the transport below has ended with `reason`."""
        if not isinstance(reason.value, ConnectionClosed):
            return reason  # raised by a callback
        if self._reason is not None:
            return self._reason
        if self._readHalf == HANDSHAKE:
            return Failure(SSLError(string="the connection ended during the TLS handshake"))
        return Failure(ConnectionLost(TRUNCATED)) if reason.check(ConnectionDone) else reason

    def _finish(self, reason: Failure) -> None:
        """See TLSOutput._finish. The transport below may live a little longer, to send what it has."""
        self._endOnce(reason)

    def _end(self, reason: Failure) -> None:
        """See OutputStream._end."""
        self.disconnected = True
        if self._writeHalf < ENDED:
            self._writeHalf = ENDED
        self._readHalf = ENDED
        self._held.clear()
        self._discardOutput()
        self._stopAsking()
        self._stopTimer()
        if self.lower.connected:
            self._closeLower()
            self._watchClosing()
        if self.producer is not None:
            self._stopProducer(self.producer)
        self._build = None
        protocol, failed, ended = self.protocol, self._failed, self._ended
        if protocol is not None:
            if not self._lost & TOLD:
                tellSkipped(self.reactor, self.lower, protocol)
                self._tellProtocol(protocol, reason)
            if ended is not None:
                ended(reason)  # a Connector's goes on if it is called again with the same reason
        elif failed is not None:
            failed(self, reason)
        tally = self.tally
        if tally is not None:
            tally.ended(self, reason)
        self._failed = self._ended = None
        self.protocol = None  # breaks the cycle with protocol.transport, which stays
        self.disconnecting = True  # see DuplexStream._end

    def _stopProducer(self, producer: Any) -> None:
        try:
            self.producer = None
            if (told := producer.stopProducing()) is not None:
                self._besideReported(told, "stopProducing of")
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "stopProducing of", self)

    def _tellProtocol(self, protocol: Any, reason: Failure) -> None:
        try:
            self._lost |= TOLD
            if (told := protocol.connectionLost(reason)) is not None:
                self._besideReported(told, "connectionLost of")
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "connectionLost of", self)
            if mayGoOn(protocol, "connectionLost"):
                protocol.connectionLost(reason)

    def _besideReported(self, told: object, what: str) -> None:
        """See DuplexStream._besideReported."""
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, self))


def undelivered(protocol: Any) -> bytes:
    """Take from `protocol` the bytes that it has received and not delivered, and return them.

    It is asked by its method takeUndelivered, or clearLineBuffer; a wrapper has the protocol in `wrappedProtocol`. Here
    the name counts however it comes, other than in `behind`: no plain bytes may be missed.
    """
    while (inner := getattr(protocol, "wrappedProtocol", None)) is not None:
        protocol = inner
    take = getattr(protocol, "takeUndelivered", None) or getattr(protocol, "clearLineBuffer", None)
    return b"" if take is None else take()
