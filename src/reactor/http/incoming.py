"""A response, and its body on its way in: what has come and is not taken, the program that takes it, and the pauses.

Three objects have a part each. The connection puts pieces into an Inflow. A program takes them out of it by a
ResponseBody. The connection does not refer to that one. So a program that drops a response with an unread body gives
up its connection, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Self

from reactor.defer import Deferred, fail, succeed
from reactor.failure import Failure
from reactor.http.clienterrors import BodyTooLarge, ClientClosed
from reactor.http.headers import Headers

MAX_BODY = 1024 * 1024
# Bytes of a body that wait for the program. Then the connection is paused until it has taken all of them.
HIGH_WATER = 64 * 1024


class Inflow:
    """The bytes of a body that have come and were not taken. The connection sets the three calls.

    - `pause` and `resume`: reading from the peer.
    - `giveUp`: end the connection, since the rest of the body is not wanted.
    """

    def __init__(self, length: int, pause: Callable[[], None], resume: Callable[[], None], giveUp: Callable[[], None]):
        self.length = length
        self.trailers = Headers()
        self.hasEnded = False
        self.isPaused = False
        self._pause = pause
        self._resume = resume
        self._giveUp = giveUp
        self._failure: Failure | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiting: Deferred[bytes] | None = None

    @property
    def isAwaited(self) -> bool:
        """Whether a program waits for the next piece."""
        return self._waiting is not None

    # For the connection.

    def put(self, piece: bytes) -> None:
        """A piece has come."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(piece)
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= HIGH_WATER and not self.isPaused:
            self.isPaused = True
            self._pause()

    def end(self, failure: Failure | None = None, last: bytes = b"") -> None:
        """Nothing comes after the piece `last`: the body is complete, or `failure` says what is wrong."""
        if self.hasEnded:
            return
        self.hasEnded = True
        self._failure = failure
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(last if failure is None else failure)
        elif last:
            self._pieces.append(last)

    # For the program.

    def take(self) -> Deferred[bytes]:
        """Return all that has come, as soon as that is something; b"" at the end."""
        if self._waiting is not None:
            raise RuntimeError("another coroutine is already waiting for this body")
        if self._pieces:
            data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
            self._pieces.clear()
            self._held = 0
            if self.isPaused:
                self.isPaused = False
                if not self.hasEnded:
                    self._resume()
            return succeed(data)
        if self.hasEnded:
            return succeed(b"") if self._failure is None else fail(self._failure)
        waiting: Deferred[bytes] = Deferred(self._cancelled)
        self._waiting = waiting
        return waiting

    def close(self, error: Exception) -> None:
        """The program takes no more: reading raises `error` from now on. The rest of the body is not awaited."""
        self._pieces.clear()
        self._held = 0
        if not self.hasEnded:
            self.end(Failure(error))
            self._giveUp()

    def _cancelled(self, _: Deferred[bytes]) -> None:
        self._waiting = None


class NoInflow(Inflow):
    """In place of the body after 101. The end is that of this response: its connection may still be taken over."""

    def take(self) -> Deferred[bytes]:
        """Return b"", the end."""
        return succeed(b"")


class ResponseBody:
    """The body of a response: await it for the whole, or iterate over it as it comes.

    `data = await response.body` gives bytes, up to the limit `maxBody` of the request. `async for piece in
    response.body` has no limit: each piece is at least one byte, and the peer is held back while the program works.
    One coroutine may do one of these. After it was awaited, the bytes are kept, and it can be awaited again. `length`
    is its length in bytes if the server has told it, else None.

    BodyLost if the connection ends before the body does, BadResponse if its framing is broken. error.TimeoutError if
    nothing more comes for as long as the `timeout` of the request. BodyTooLarge beyond the limit.
    """

    def __init__(self, inflow: Inflow, maxBody: int, callFromThread: Callable[..., object]) -> None:
        self._inflow = inflow
        self._maxBody = maxBody
        self._callFromThread = callFromThread
        self._whole: bytes | None = None
        self.length = None if inflow.length < 0 else inflow.length

    def __await__(self) -> Generator[Deferred[Any], None, bytes]:
        return self.whole().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._inflow.take()
        if not piece:
            raise StopAsyncIteration
        return piece

    def whole(self, limit: int | None = None) -> Deferred[bytes]:
        """Return a Deferred of the whole body, of `limit` bytes at most (None: the request's `maxBody`).

        Cancelling it gives the connection up.
        """
        if self._whole is not None:
            return succeed(self._whole)
        if self._inflow.isAwaited:
            return fail(RuntimeError("another coroutine is already waiting for this body"))
        return Deferred.fromCoroutine(self._read(self._maxBody if limit is None else limit))

    def close(self) -> None:
        """Give up the rest of the body, and the connection with it. After the end of the body this does nothing."""
        self._inflow.close(ClientClosed("the response was closed"))

    async def _read(self, limit: int) -> bytes:
        inflow = self._inflow
        pieces: list[bytes] = []
        size = 0
        try:
            if inflow.length > limit:
                raise BodyTooLarge(f"the body has {inflow.length} bytes, and the limit is {limit}")
            while piece := await inflow.take():
                size += len(piece)
                if size > limit:
                    raise BodyTooLarge(f"the body has more than {limit} bytes, which is the limit")
                pieces.append(piece)
        except BaseException:
            inflow.close(ClientClosed("the response was closed, as its body could not be read whole"))
            raise
        self._whole = b"".join(pieces)
        return self._whole

    def __del__(self) -> None:
        # The last reference can end in any thread, and at any time.
        inflow = getattr(self, "_inflow", None)
        if inflow is not None and not inflow.hasEnded:
            with suppress(Exception):
                self._callFromThread(inflow.close, ClientClosed("the response was dropped"))


class ClientResponse:
    """A response whose head has come, and whose body may be on its way.

    - `code`: the status code, an int. `reason`: the reason phrase, bytes. `version`: b"HTTP/1.1" or b"HTTP/1.0".
    - `headers`: the fields, a Headers.
    - `body`: see ResponseBody. A program reads the whole body, or calls close(). The connection is busy until then.
    """

    def __init__(self, code: int, reason: bytes, minor: int, headers: Headers, body: ResponseBody, inflow: Inflow):
        self.code = code
        self.reason = reason
        self.version = b"HTTP/1.%d" % minor
        self.headers = headers
        self.body = body
        self._inflow = inflow
        self._takeOver: Callable[[Any], None] | None = None

    def __repr__(self) -> str:
        return f"<ClientResponse {self.code} {self.reason.decode('latin-1')!r}>"

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked body (RFC 9112, 7.1.2). It is empty until the body has been read to its end."""
        return self._inflow.trailers

    def close(self) -> None:
        """Give up the rest of the body, and the connection with it. After the end of the body this does nothing."""
        self.body.close()

    def takeOver(self, protocol: Any) -> None:
        """Give the connection to `protocol`, after the code 101: it speaks the protocol that was agreed on.

        Its makeConnection gets the transport, and its dataReceived what has come after the head. RuntimeError for any
        other response, and the second time.
        """
        takeOver, self._takeOver = self._takeOver, None
        if takeOver is None:
            raise RuntimeError("a connection is taken over once, after the code 101")
        takeOver(protocol)
