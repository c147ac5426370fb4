"""TLSOutput: the writing half of a TLS connection, and the watch over its closing. See layer.py.

Plaintext waits in OutputStream, with its marks and its limit, as over TCP. It is encrypted in pieces of CIPHERTEXT_STEP
bytes, and only while little ciphertext waits below. A producer of ours on that transport is paused above
CIPHERTEXT_MARK. So a connection's unsent output is bounded by its high-water mark and 64 KiB.

A connection that is closing is looked at LOOKS times in `closeTimeout`, as nothing tells that the transport below gets
rid of its bytes. A connection without progress for that long is dropped.
"""

from __future__ import annotations

import logging

from reactor._logger import getLogger
from reactor.error import ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall, ILowerTransport, ITransportReactor
from reactor.transports.output import ENDED, HANDSHAKE, OUTPUT_LIMIT, OutputStream
from reactor.transports.tls.engine import TLSEngine

log = getLogger("reactor.tls")

CIPHERTEXT_MARK = 16 * 1024  # bytes below above which nothing more is encrypted
CIPHERTEXT_STEP = 48 * 1024  # bytes encrypted at once
LOOKS = 20  # at a connection that is closing, in closeTimeout


class _Valve:
    """Our producer on the transport below: it stops encryption while enough ciphertext waits there."""

    __slots__ = ("_connection",)

    def __init__(self, connection: TLSOutput) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        self._connection._blocked = True

    def resumeProducing(self) -> None:
        connection = self._connection
        connection._blocked = False
        if not connection._sending:  # else it goes on by itself
            connection._encrypt()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows."""


class TLSOutput(OutputStream):
    """Encrypts with `engine` onto the transport `lower`, as soon as the handshake is done.

    `_readHalf` is in a phase of the table in layer.py. `_blocked` is the state of the valve. It is apart, as a wrapper
    below that throttles turns the valve, too. `_sending` tells that `_send` is at work.
    """

    __slots__ = (
        "_blocked",
        "_engine",
        "_readHalf",
        "_sending",
        "_sent",
        "_timer",
        "closeTimeout",
        "lower",
    )

    lower: ILowerTransport

    def __init__(self, reactor: ITransportReactor, engine: TLSEngine, closeTimeout: float) -> None:
        super().__init__(reactor)
        self.closeTimeout = closeTimeout
        self._engine = engine
        self._readHalf = HANDSHAKE
        self._blocked = False
        self._sending = False
        self._sent = 0  # bytes encrypted
        self._timer: IDelayedCall | None = None

    # Supplied by a subclass.

    def _finish(self, reason: Failure) -> None:
        """Tell the producer, the protocol and `ended` of the end, once."""
        raise NotImplementedError

    def _abort(self, reason: BaseException) -> None:
        """Drop all unsent output and reset the connection."""
        raise NotImplementedError

    # For the reactor.

    def flush(self) -> None:
        """Encrypt the plaintext that waits, and send it."""
        if not self.disconnected:
            self._encrypt()
            if self.lower.unsent:
                self.lower.flush()

    def writeNow(self, data: bytes) -> None:
        """See OutputStream.writeNow."""
        self._writeAndFlush(data)  # flush() knows of handshakes, and of a peer that takes little

    def startWriting(self) -> None:
        """Do nothing: _encrypt schedules its own next call."""

    def stopWriting(self) -> None:
        """Nothing."""

    # For the subclass, and OutputStream's questions.

    def _attachTo(self, lower: ILowerTransport) -> None:
        """Send through `lower` from now on."""
        self.lower = lower
        self.tally = getattr(lower, "tally", None)
        lower.setOutputLimits(CIPHERTEXT_MARK, OUTPUT_LIMIT + lower.unsent)
        lower.registerProducer(_Valve(self), True)

    def _encrypt(self) -> None:
        """Hand the transport below as much as it should have."""
        if self._readHalf == HANDSHAKE or self.disconnected:
            return
        super().flush()
        if self.unsent and not self._blocked:
            self._flushSoon()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        size, sent = len(data), 0
        self._sending = True
        try:
            while sent < size and not (self._blocked or self.disconnected):
                # Nothing holds on to `data` while the transport below is at work.
                with memoryview(data) as view, view[sent : sent + CIPHERTEXT_STEP] as piece:
                    taken = self._engine.encrypt(piece)
                if not taken:
                    break
                sent += taken
                self._sent += taken
                self.lower.writeNow(self._engine.take())
        finally:
            self._sending = False
        return sent

    def _passOn(self) -> bool:
        """Give the engine's output to the transport below; return whether there was any."""
        data = self._engine.take()
        if data:
            self.lower.write(data)
        return bool(data)

    def _sendFailed(self, error: OSError) -> None:
        self._finish(Failure(ConnectionLost(str(error))))

    def _outputOverflowed(self) -> None:
        text = "%r: more than the limit is unsent, %d bytes; the connection is reset"
        log.limited(logging.WARNING, text, self, self.unsent)
        self._abort(OutputLimitExceeded(f"{self.unsent} bytes"))

    # The end.

    def _sayGoodbye(self) -> None:
        """Send close_notify."""
        self._writeHalf = ENDED
        self._engine.close()
        self._passOn()

    def _watchClosing(self, looks: int = 0) -> None:
        """Look later whether closing makes progress. The last `looks` looks have seen none."""
        self._stopTimer()
        state = self._sent, self.lower.unsent
        self._timer = self.reactor.callLater(self.closeTimeout / LOOKS, self._stillClosing, state, looks + 1)

    def _stillClosing(self, before: tuple[int, int], looks: int) -> None:
        self._timer = None
        unsent = self.unsent + self.lower.unsent
        if (self._sent, self.lower.unsent) != before or (not unsent and self._writeHalf < ENDED):
            self._watchClosing(1)  # it has moved since the last look, or a producer is waited for
        elif looks < LOOKS:
            self._watchClosing(looks)
        elif self._writeHalf >= ENDED and not (unsent or self.disconnected):
            self._closeLower()  # everything is sent, and the peer does not answer
        elif self.disconnected:
            self.lower.abortConnection()
        else:
            self._abort(ConnectionLost(f"closing: the peer took nothing for {self.closeTimeout:g} s"))

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _closeLower(self) -> None:
        # First the producer: as long as it is there, and paused, the transport below would wait for it.
        self.lower.unregisterProducer()
        self.lower.loseConnection()
