"""The answers of an HTTPChannel, in their order, and its end. See channel.py."""

from __future__ import annotations

import logging
from typing import Any

from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.http.channelpace import Pacing
from reactor.http.channelstate import BUSY, CONTENT, ENDING, HEAD, IDLE, QUEUE, TAKEN, TUNNEL
from reactor.http.errors import HTTPError
from reactor.http.requests import Request
from reactor.http.waits import endWait
from reactor.interfaces import ISSLTransport
from reactor.protocol import connectionDone
from reactor.transports.output import OutputStream

log = getLogger("reactor.http")


class Answering(Pacing):
    """The answers of a channel's requests, which call it, and the end of the connection."""

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
        """Answer what cannot be understood, after the answers of earlier requests; then the connection ends."""
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

    # The connection, for requests.

    def getPeer(self) -> Any:
        """Return the peer's address."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Return the address on our side."""
        return self.transport.getHost()

    def isSecure(self) -> bool:
        """Whether the connection is TLS."""
        return isinstance(self.transport, ISSLTransport)

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
