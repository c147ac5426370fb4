"""Content: the body of a request, for handlers that read it while it comes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from reactor.defer import Deferred
from reactor.http.errors import HTTPError
from reactor.http.head import Pair

#: Bytes that wait for the handler: with more, the peer is held back.
HIGH_WATER = 64 * 1024


class Content:
    """A body that arrives. `await` it for the whole, as bytes, or iterate over its pieces with `async for`.

    - The whole may be awaited again. A piece comes once, and after pieces there is no whole: RuntimeError. So it is
      for two readers at the same time.
    - Awaiting the whole raises HTTPError 413 if it has more than the request's `maxBodySize` bytes. A handler that does
      not catch that answers with 413. The iteration has no limit, and the peer waits while a piece is worked on.
    - Both raise BodyLost if the connection ends before the body, and the HTTPError of the answer if it is refused.
    - `length` is its length in bytes if the peer has told it, otherwise None. `trailers` are the fields after a
      chunked body (RFC 9112, 7.1.2), names in lower case and values as bytes, after its end.

    The first read sends the 100 that a client with `Expect: 100-continue` waits for (RFC 9110, 10.1.1).
    """

    __slots__ = (
        "_arrived",
        "_ended",
        "_failure",
        "_isTaken",
        "_pieces",
        "_request",
        "_size",
        "length",
        "limit",
        "trailers",
    )

    def __init__(self, request: Any, length: int | None) -> None:
        # None once nothing more comes, so that a request and its body are no cycle.
        self._request: Any = None if length == 0 else request
        self.limit: int = request.maxBodySize
        self._pieces: list[bytes] = []
        self._size = 0
        self._isTaken = False
        self._ended = length == 0
        self._failure: BaseException | None = None
        self._arrived: Deferred[None] | None = None
        self.length = length
        self.trailers: Sequence[Pair] = ()

    def __await__(self) -> Generator[Any, Any, bytes]:
        if self._isTaken:
            raise RuntimeError("the body has been read piece by piece: it is not there as a whole any more")
        if self.length is not None and self.length > self.limit:
            raise HTTPError(413)
        while True:
            if self._size > self.limit:
                raise HTTPError(413)
            if self._ended:
                break
            yield from self._more()
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]  # it may be awaited again
        return self._pieces[0]

    def __aiter__(self) -> Content:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._ended:
                raise StopAsyncIteration
            await _Wait(self)
        self._size = 0
        self._isTaken = True
        pieces, self._pieces = self._pieces, []
        if self._request is not None:
            self._request.bodyTaken()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _more(self) -> Generator[Any, Any, None]:
        """Wait until more has come, or the end."""
        if self._failure is not None:
            raise self._failure
        if self._arrived is not None:
            raise RuntimeError("the body is being read already")
        arrived: Deferred[None] = Deferred()
        self._arrived = arrived
        self._request.bodyWanted()
        try:
            yield from arrived.__await__()
        finally:
            self._arrived = None

    # For the channel.

    @property
    def held(self) -> int:
        """The number of bytes that have come and were not taken."""
        return self._size

    @property
    def isWaited(self) -> bool:
        """Whether a handler waits for more."""
        return self._arrived is not None

    def add(self, piece: bytes) -> None:
        """A piece has come."""
        self._pieces.append(piece)
        self._size += len(piece)
        self._wake()

    def end(self, trailers: Sequence[Pair]) -> None:
        """All has come."""
        self.trailers = trailers
        self._ended = True
        self._request = None
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The rest will not come."""
        if not self._ended and self._failure is None:
            self._failure = error
            self._request = None
            self._wake()

    def _wake(self) -> None:
        arrived = self._arrived
        if arrived is not None and not arrived.called:
            arrived.callback(None)


class _Wait:
    """An awaitable, for __anext__: more of the body, or its end."""

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    def __await__(self) -> Generator[Any, Any, None]:
        return self._content._more()
