"""The sending of a request's body in pieces, as fast as the peer takes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.http.bodies import chunk
from reactor.http.head import CHUNKED
from reactor.http.outgoing import REQUEST_STEP, Outgoing
from reactor.http.trailers import lastChunk


def _slices(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), REQUEST_STEP):
        yield data[at : at + REQUEST_STEP]


class BodySender:
    """Sends the body of `request` to `transport`, whose producer it is. `done` gets None at the end, or a Failure.

    The body may be an iterable or an asynchronous one. It is asked for its next piece when the peer has taken most of
    the last ones. `progressed` is called whenever the peer has. `written` is the number of bytes so far.
    """

    def __init__(
        self, reactor: Any, request: Outgoing, progressed: Callable[[], None], done: Callable[[Failure | None], None]
    ) -> None:
        self.written = 0
        self._reactor = reactor
        self._body = request.body
        self._left = request.length
        self._isChunked = request.length == CHUNKED
        self._progressed = progressed
        self._done = done
        self._resumed: Deferred[None] | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False
        self._transport: Any = None

    @property
    def isPaused(self) -> bool:
        """Whether the peer is awaited, and not the program that gives the pieces."""
        return self._resumed is not None

    def start(self, transport: Any) -> None:
        """Begin to send."""
        self._transport = transport
        transport.registerProducer(self, True)
        running = self._running = Deferred.fromCoroutine(self._send())
        running.addCallbacks(lambda _: self._finish(None), self._finish)

    def stop(self) -> None:
        """Send no more, and tell nobody. The pieces' generator is closed a turn later, as this may be a call of it."""
        if not self._stopped:
            self._stopped = True
            if self._running is not None and not self._running.called:
                self._reactor.callLater(0, self._running.cancel)

    def _finish(self, failure: Failure | None) -> None:
        transport, self._transport = self._transport, None
        if transport is not None and not transport.disconnected:
            transport.unregisterProducer()
        if not self._stopped:
            self._stopped = True
            self._done(failure)

    async def _send(self) -> None:
        body = _slices(self._body) if isinstance(self._body, bytes) else self._body
        try:
            if hasattr(body, "__aiter__"):
                async for piece in body:
                    await self._put(piece)
                    if self._stopped:
                        return
            else:
                for piece in body:
                    await self._put(piece)
                    if self._stopped:
                        return
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()
            elif isinstance(body, Generator):
                body.close()
        if self._isChunked:
            self._write(lastChunk(getattr(body, "trailers", None)))
        elif self._left:
            raise ValueError(f"the body of a request ended {self._left} bytes before its Content-Length")

    async def _put(self, piece: Any) -> None:
        if self._stopped:
            return
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"a body's pieces are bytes, not {piece!r}")
        data = bytes(piece)
        if self._isChunked:
            data = chunk(data)
        else:
            self._left -= len(data)
            if self._left < 0:
                raise ValueError("the body of a request is longer than its Content-Length")
        if data:
            self._write(data)
        if self._resumed is not None:
            await self._resumed

    def _write(self, data: bytes) -> None:
        self.written += len(data)
        self._transport.write(data)

    # For the transport.

    def pauseProducing(self) -> None:
        """Called by the transport when it has enough."""
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        """Called by the transport when the peer has taken everything."""
        resumed, self._resumed = self._resumed, None
        if not self._stopped:
            self._progressed()
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """Called by the transport at its end."""
        self.stop()
