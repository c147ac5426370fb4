"""Requests that a handler answers: HandledRequest runs it, and sends what it gives.

Most handlers give their answer at once, and most answers are a few bytes. So the first step of a coroutine is made
here, in a context of its own. Only a handler that waits costs a Deferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from reactor._beside import isCoroutine
from reactor._logger import getLogger
from reactor.defer import Deferred, ensureDeferred
from reactor.defer.coroutines import Driver
from reactor.failure import Failure
from reactor.http.content import HIGH_WATER, Content
from reactor.http.errors import BodyLost
from reactor.http.head import Pair
from reactor.http.requests import Request
from reactor.http.response import Response

log = getLogger("reactor.http")


class HandledRequest(Request):
    """A request whose answer a handler gives: see HTTPFactory.forHandler.

    Beside what every Request has, a handler uses `body`, `respond`, `drained` and `takeOver`. `args` has the query
    alone, since the body may not have come.
    """

    streams = True

    _body: Content | None = None
    _maxBodySize: int = 1024 * 1024

    # For the channel.

    def gotLength(self, length: int | None) -> None:
        """See Request."""
        self._maxBodySize = getattr(self.channel.factory, "maxBodySize", self._maxBodySize)
        self._body = Content(self, length)

    def handleContentChunk(self, data: bytes) -> None:
        """See Request. While the handler reads slower than the peer sends, the peer is held back."""
        body = self.body
        if self.finished:
            return
        body.add(data)
        if body.held > HIGH_WATER and not body.isWaited and self.channel is not None:
            self.channel.holdBody()

    def bodyEnded(self, trailers: Sequence[Pair]) -> None:
        """Called by the channel after the last piece of the body."""
        self.body.end(trailers)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See Request; called as soon as the head is there. Runs the handler."""
        try:
            answer = self.channel.factory.handler(self)
            if type(answer) is CoroutineType:
                context = copy_context()
                try:
                    yielded = context.run(answer.send, None)
                except StopIteration as stop:
                    answer = stop.value
                else:
                    outcome: Deferred[Any] = Deferred()
                    Driver(answer, outcome, context).goOn(yielded)
                    answer = outcome
            if type(answer) is Response:
                self.respond(answer)
            else:
                self._take(answer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # also the CancelledError of asyncio, and GeneratorExit
            self.processingFailed(Failure())

    def connectionLost(self, reason: Failure) -> None:
        """See Request. A handler that reads the body gets BodyLost."""
        super().connectionLost(reason)
        if self._body is not None:
            self._body.fail(BodyLost("the connection has ended before the request's body"))

    def _ended(self) -> None:
        """See Answer. The rest of the body will be dropped, and must not look complete."""
        super()._ended()
        if self._body is not None:
            self._body.fail(BodyLost("the request was answered before its body had come"))

    # For the body.

    def bodyWanted(self) -> None:
        """The handler waits for more of the body."""
        if self.channel is not None:
            self.channel.wantBody(self)

    def bodyTaken(self) -> None:
        """The handler has taken what had come of the body."""
        if self.channel is not None:
            self.channel.releaseBody()

    # For handlers.

    @property
    def body(self) -> Content:
        """The body of the request: `await` it, or iterate over it with `async for`."""
        body = self._body
        if body is None:
            body = self._body = Content(self, 0)
        return body

    @property
    def maxBodySize(self) -> int:
        """Bytes of a body that is awaited whole: the factory's number, unless the handler sets another."""
        return self._maxBodySize

    @maxBodySize.setter
    def maxBodySize(self, size: int) -> None:
        self._maxBodySize = size
        if self._body is not None:
            self._body.limit = size

    # Inside.

    def _take(self, answer: Any) -> None:
        """Send what a handler has given, now or later."""
        if isinstance(answer, Response):
            self.respond(answer)
        elif isinstance(answer, bytes):
            self.respondAsSet(answer)
        elif answer is None:
            if not (self.isAnswered or self.finished or self._disconnected):
                raise TypeError("the handler has returned None, and has not answered")
        elif hasattr(answer, "addCallbacks"):
            answer.addCallback(self._take).addErrback(self.processingFailed)
        elif isCoroutine(answer):
            self._take(ensureDeferred(answer))
        else:
            raise TypeError(f"a handler returns a Response or bytes, not {answer!r}")
