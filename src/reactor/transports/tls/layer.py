"""TLSLayer: TLS between a transport and a protocol. To the one it is the protocol, to the other it is the transport.

    protocol  --write-->  TLSLayer (plaintext waits)  --encrypted-->  the transport below (ciphertext waits)
    protocol  <--data---  TLSLayer                    <--ciphertext--  the transport below

So it works over any stream transport of this package. TLSEngine does the work in between.

The handshake comes first. Before it is done, certificates verified, there is no protocol (or, after startTLS, none that
is told anything), nothing is delivered, and what is written waits. It has a deadline. If the loop itself is late, and
answers the peer's part of the handshake after that deadline only, the peer gets the time anew for its next part. A part
that is not whole gains nothing.

Output. Plaintext waits here, and is encrypted while little ciphertext waits below. See tlsoutput.py.

Input. What arrives is decrypted at once. While the protocol has paused us, the plaintext of one read is kept, and the
transport below is paused.

The end. TLS ends with close_notify, each direction on its own (RFC 8446, 6.1).
- loseConnection: everything is encrypted, then close_notify sent; then we wait for the peer's and drop what comes
  before it, since a socket that is closed with unread input resets the connection and may destroy output on its way.
- The peer's close_notify is its end of stream: ConnectionDone, unless the protocol is half-closeable. It is answered.
- An end of stream without it is a truncation: ConnectionLost. After our loseConnection it is not, as nobody reads.
- One deadline watches closing: a peer that for `closeTimeout` seconds neither takes output nor answers is left.
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
from reactor.transports.output import ABORTED, ENDED, ENDING, TOLD
from reactor.transports.tls.engine import TLSEngine
from reactor.transports.tls.output import TLSOutput

log = getLogger("reactor.tls")

TRUNCATED = "the peer's stream ended without close_notify"
PLAIN_BYTES = "plain bytes that came before TLS were still to be read"


class TLSLayer(TLSOutput):
    """One TLS connection over the transport `lower`, without the methods that are for protocols only.

    `build` is called after the handshake and returns the protocol, or None to close; `failed` is told the reason if it
    comes to no protocol; `ended` is told it after the protocol's connectionLost. The other arguments are TLSEngine's.
    """

    fileDescriptorReceived = None  # the bytes below are not the protocol's, nor is what comes with them

    __slots__ = (
        "__weakref__",
        "_build",
        "_deadline",
        "_endTold",
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
        self._endTold = False  # the protocol knows that the peer's direction is over
        self._reason: Failure | None = None  # what the end of the transport below will mean

    def __repr__(self) -> str:
        peer = self.lower.getPeer() if hasattr(self, "lower") else "nobody yet"
        return f"<{type(self).__name__} of {type(self.protocol).__name__} with {peer}>"

    @property
    def isAccepting(self) -> bool:
        """Whether the handshake with a client is under way."""
        return self._handshaking and self._ended is None and not self.disconnected

    @property
    def endIsKnown(self) -> bool:
        """Whether what ends below is no news: the end was told, or its reason is decided."""
        return self.disconnected or self._reason is not None

    # For the transport below.

    def makeConnection(self, transport: ILowerTransport) -> None:
        """Called when it stands: begins the handshake."""
        self._attachTo(transport)
        self._awaitHandshake()
        self._handshake(b"")

    def dataReceived(self, data: bytes) -> None:
        """Called with ciphertext."""
        if self._handshaking:
            self._handshake(data)
            data = b""
            if self._handshaking:
                return
        if not self.disconnected:
            self._held += self._engine.decrypt(data)
            self._passOn()
            self._deliver()

    def readConnectionLost(self) -> None:
        """Called at the end of the peer's stream."""
        if self._handshaking:
            self.fail(SSLError(string="the peer's stream ended during the TLS handshake"))
        elif self._engine.ended is None:
            self._engine.ended = ConnectionLost(TRUNCATED)
            self._deliver()

    def writeConnectionLost(self) -> None:
        """Never called, as we end no half below; but having it tells that we can do with readConnectionLost."""

    @goesOn
    def connectionLost(self, reason: Failure) -> None:
        """Called when it has ended."""
        self._stopTimer()
        self._finish(self._meaningOf(reason))

    # For the reactor and connectors.

    def reactorStops(self) -> None:
        """Called by the transport below before the reactor closes it: send close_notify. It waits for nothing."""
        tellStop(self.protocol)
        if not (self._handshaking or self.unsent or self._writeHalf >= ENDED):  # else it would not be the truth
            self._sayGoodbye()
            self.lower.flush()

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol raised or answered with, and end the connection with it."""
        if self.disconnected:  # and the transport below may be sending the rest
            self.reactor.reportFailure(failure, f"a callback of {self!r}")
        else:
            self.lower.failConnection(failure)

    def fail(self, error: BaseException) -> None:
        """Give the handshake up: `failed` is told of `error`, or the protocol that has called startTLS."""
        if self._handshaking:
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
            self._handshaking = False
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
        if self.disconnected:  # meanwhile, and those who wait for the connection have been told
            protocols.abandon(protocol)
            return
        self._failed = None
        if protocol is None:
            self.protocol = protocols.Protocol()
            if self._ended is None:  # else the client's own factory wants no protocol, which it knows
                tellClosing(self.reactor, self.lower.getPeer(), ConnectionUnwanted())
            self.loseConnection()
        else:
            self.protocol = protocol
            try:
                if (made := protocol.makeConnection(self)) is not None:
                    self._beside(made)
            except BaseException:
                self.lower.flush()  # the end of the handshake, so that it does not fail for the peer
                raise
            self._handshakeDone()

    def _handshakeDone(self) -> None:
        """Tell the protocol, then do what had to wait."""
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
        """Give the protocol what it may have: what is held, then the end of it. Send what it wrote."""
        if self.disconnecting:
            self._held.clear()
        elif self._held and not self._paused:
            data = b"".join(self._held)
            self._held.clear()
            self._hold(self.highWater)
            if (result := self.protocol.dataReceived(data)) is not None:
                self._beside(result)
        end = self._engine.ended
        if end is not None and not (self._endTold or self._paused or self.disconnected):
            self._endTold = True
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
        """Read on, for the peer's answer, and watch that closing gets on."""
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
        """What it means for the protocol that the transport below has ended with `reason`."""
        if not isinstance(reason.value, ConnectionClosed):
            return reason  # raised by a callback
        if self._reason is not None:
            return self._reason
        if self._handshaking:
            return Failure(SSLError(string="the connection ended during the TLS handshake"))
        return Failure(ConnectionLost(TRUNCATED)) if reason.check(ConnectionDone) else reason

    def _finish(self, reason: Failure) -> None:
        """Tell everybody, once. The transport below may live a little longer, to send what it has."""
        self._endOnce(reason)

    def _end(self, reason: Failure) -> None:
        """See OutputStream._end."""
        self.disconnected = True
        if self._writeHalf < ENDED:
            self._writeHalf = ENDED
        self._handshaking = False
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
        self._failed = self._ended = None
        self.protocol = None  # breaks the cycle with protocol.transport, which stays
        self.disconnecting = True  # see DuplexStream.connectionLost

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
    """Take from `protocol` what it has received and not delivered, and return it.

    It is asked by its method takeUndelivered, or clearLineBuffer; a wrapper has the protocol in `wrappedProtocol`.
    """
    while (inner := getattr(protocol, "wrappedProtocol", None)) is not None:
        protocol = inner
    take = getattr(protocol, "takeUndelivered", None) or getattr(protocol, "clearLineBuffer", None)
    return b"" if take is None else take()
