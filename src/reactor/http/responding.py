"""Responding: answers that are given as a Response, and connections that are handed over.

Most answers are a few bytes, without fields of their own. Such an answer is one write of three pieces. The first of
them, up to the length, is made once a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from reactor._beside import CANCELLED
from reactor._logger import getLogger
from reactor.defer import Deferred, ensureDeferred
from reactor.failure import Failure
from reactor.filesender import FileSender, TransferStopped
from reactor.http.answers import STRAIGHT, Answer
from reactor.http.codes import NO_BODY_CODES, NOT_IMPLEMENTED, RESPONSES, UNKNOWN
from reactor.http.dates import dateLine
from reactor.http.response import Response, sizeOf
from reactor.transports.output import HIGH_WATER, OutputStream

log = getLogger("reactor.http")

# Above this size a body is not copied after its head, and goes out in pieces of BODY_STEP bytes.
LARGE = 64 * 1024
BODY_STEP = 256 * 1024

# Bytes of a body that are sent in a row, if the peer takes them. Then other connections have their turn.
IN_A_ROW = 4 * 1024 * 1024

# The heads of a second, by their codes. Both change as one, as several threads may answer.
_plainHeads: tuple[bytes, dict[int, bytes]] = (b"", {})


def plainHead(code: int) -> bytes:
    """Return the head of an answer with the code `code`, up to the number of its Content-Length."""
    global _plainHeads
    date = dateLine()
    made, heads = _plainHeads
    if made is not date:
        heads = {}
        _plainHeads = (date, heads)
    head = heads.get(code)
    if head is None:
        reason = RESPONSES.get(code, UNKNOWN)
        head = heads[code] = b"HTTP/1.1 %d %b\r\n%bContent-Length: " % (code, reason, date)
    return head


class Responding(Answer):
    """An answer that takes a Response, or another protocol."""

    _drained: Deferred[None] | None = None
    _sending: Deferred[None] | None = None
    _isSending = False  # the pieces of a Response
    _reason: bytes | None = None  # that of the answer, if it is not the usual one

    def bodyWanted(self) -> None:
        """Called before an answer whose pieces may be made of the request's body."""

    @property
    def isAnswered(self) -> bool:
        """Whether the program has begun to answer, even if nothing of the answer has been written yet."""
        return bool(self.startedWriting or self._isSending)

    def connectionLost(self, reason: Failure) -> None:
        """See Answer. A Response that is being sent is given up."""
        super().connectionLost(reason)
        self._giveUp()
        self.goOnSending()

    def _ended(self) -> None:
        """See Answer. The request may have been refused before the first piece of its answer."""
        super()._ended()
        self._giveUp()

    def _giveUp(self) -> None:
        """Send no more pieces. A generator that waits for its next one would learn of the end only then."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()

    def noLongerQueued(self) -> None:
        """See Answer."""
        super().noLongerQueued()
        self.goOnSending()

    def respond(self, response: Response) -> None:
        """Send an answer. A handler that returns the response need not call it. RuntimeError for a second answer."""
        body = response.body
        if self._disconnected:
            _dispose(body)
            return
        if self.startedWriting or self._isSending:
            raise RuntimeError("the request has its answer already")
        if self.method == b"CONNECT" and response.code < 300:
            _dispose(body)  # only takeOver() makes a tunnel, and such a code would promise one (RFC 9110, 9.3.6)
            response, body = Response(NOT_IMPLEMENTED), b""
        if (
            type(body) is bytes
            and len(body) <= LARGE
            and not response.fields
            and self._responseHeaders is None
            and self._cookies is None
            and self.etag is None
            and self.lastModified is None
            and self._reason is None
            and self.persistent
            and self.clientproto == b"HTTP/1.1"
            and response.code not in (204, 205, 304)
            and self.channel.receiving is None
        ):
            size = len(body)
            self.startedWriting = 1
            self.code = response.code
            self.sentLength = size
            if self.method == b"HEAD":
                self.sentLength = 0
                body = b""
            data = b"%b%d\r\n\r\n%b" % (plainHead(response.code), size, body)
            channel = self.channel
            if self.queued or self._notifications is not None or getattr(channel.factory, "logs", True):
                self.send(data)
                self._finished()
                return
            # The same at half of the price. This is the path of most requests.
            channel.transport.write(data)
            self.finished = 1
            self.channel = None
            channel.plainDone(self)
            return
        self._respond(response)

    def respondAsSet(self, body: bytes) -> None:
        """Send an answer with this body, and with the code and the reason that the program has set on the request.

        ValueError for a code below 200, after which another answer would have to follow.
        """
        if self.code < 200:
            raise ValueError(f"the code of an answer is at least 200, not {self.code}")
        response = Response(200, body)
        response.code = self.code
        if self.code_message != RESPONSES.get(self.code, UNKNOWN):
            self._reason = self.code_message
        self.respond(response)

    def drained(self) -> Deferred[None] | None:
        """Return None if more may be written, or a Deferred that fires when it may, or when nobody is there any more.

        `write` itself never waits. A handler that writes much awaits this in between.
        """
        channel = self.channel
        if channel is None or self._disconnected or not (self.queued or channel.isFull):
            return None
        if self._drained is None or self._drained.called:  # a wait that was cancelled
            self._drained = Deferred()
        return self._drained

    def goOnSending(self) -> None:
        """Called by the channel when the peer has taken what was sent, and at the end."""
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def takeOver(self, protocol: Any, code: int = 101, headers: Any = None) -> None:
        """Answer with `code` and these fields, and hand the connection to `protocol`, as it is (RFC 9110, 7.8).

        The code is 101 for Upgrade, with the fields Connection and Upgrade, or 200 for CONNECT. `protocol` is
        connected at once, and gets what has come after the request. The handler returns None. RuntimeError if
        earlier requests are not answered, if there is an answer, or if the body has not come whole.
        """
        self.channel.checkTakeOver(self)
        if self.isAnswered:
            raise RuntimeError("the request has its answer already")
        for name, value in (Response(200, headers=headers).fields if headers is not None else {}).items():
            self.responseHeaders.setRawHeaders(name, value)
        self.setResponseCode(code)
        self.persistent = True
        self.write(b"") if code < 200 else self.send(self._tunnelHead())
        self.startedWriting = 1
        self._tellLog()
        channel, self.channel = self.channel, None
        self.finished = 1
        channel.takeOver(self, protocol)
        self._notify()

    def _respond(self, response: Response) -> None:
        """Send an answer that is not plain."""
        body = response.body
        self.code = response.code
        self.code_message = self._reason or RESPONSES.get(response.code, UNKNOWN)
        size = sizeOf(body)
        if response.code == 205:
            _dispose(body)
            body, size = b"", 0  # RFC 9110, 15.3.6
        for name, values in response.fields.items():
            for value in values:
                self.responseHeaders.addRawHeader(name, value)
        if size >= 0 and response.code not in NO_BODY_CODES and b"content-length" not in response.fields:
            self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % size])
        if type(body) is bytes and size <= LARGE:
            self.write(body)
            self.finish()
            return
        if type(body) is bytes:
            view = memoryview(body)
            body = (view[at : at + BODY_STEP] for at in range(0, size, BODY_STEP))
        if response.code < 300:
            self.bodyWanted()  # the pieces may be made of it, and a client that waits for a 100 takes none later
        if self.method == b"HEAD" or self.code in NO_BODY_CODES:
            self.write(b"")
            _dispose(body)
            self.finish()
            return
        self._isSending = True
        sending = ensureDeferred(self._sendAll(body))
        if self._isSending:
            self._sending = sending
        sending.addErrback(self._sendingFailed)

    def _sendingFailed(self, failure: Failure) -> None:
        """The pieces have failed, or the answer has been given up."""
        self._isSending = False
        self._sending = None
        if not (self.finished and failure.check(*CANCELLED)):
            self.processingFailed(failure)

    async def _sendAll(self, body: Any) -> None:
        """Send the pieces of a body. The head goes with the first one: before it, a failure can still be told."""
        try:
            if hasattr(body, "__aiter__"):
                await self._sendComing(body)
            elif (file := body.asFile() if hasattr(body, "asFile") else None) is not None:
                if not await self._sendFile(file, body.PIECE):
                    return
            else:
                await self._sendReady(body, getattr(body, "IN_A_ROW", IN_A_ROW))
        finally:
            await _closed(body)
        if self._disconnected or self.finished:
            return
        self._isSending = False
        self._sending = None
        if hasattr(body, "trailers"):
            self.responseTrailers = body.trailers
        if not self.startedWriting:
            self.write(b"")  # the answer is chunked, even without a chunk: it may have trailers
        self.finish()

    async def _sendFile(self, file: Any, size: int) -> bool:
        """Send a file in pieces of `size` bytes. It is read when the peer has taken the piece before.

        Return False if the connection ends before the file does. That is no error of the file.
        """
        sender = _SectionSender()
        sender.CHUNK_SIZE = size
        try:
            await sender.beginFileTransfer(file, cast("Any", self))
        except TransferStopped:
            return False
        return True

    async def _sendReady(self, body: Iterable[Any], most: int) -> None:
        """Send the pieces of an iterable, at most `most` bytes in a turn."""
        left = most
        for piece in body:
            left -= len(piece)
            if (wait := self._sent(piece, left)) is not None:
                left = most
                await wait
            if self._disconnected or self.finished:
                return

    async def _sendComing(self, body: Any) -> None:
        """Send the pieces of an asynchronous body.

        Between two calls of the system the caches forget the code here. So a large piece takes the shortest path: each
        second one is sent, together with the one that waits.
        """
        channel = self.channel
        straight: Any = None
        left = IN_A_ROW
        async for piece in body:
            if self._disconnected or self.finished:
                return
            size = len(piece)
            left -= size
            room = self._left
            if straight is not None and size >= STRAIGHT and type(piece) is bytes and room is not None and size <= room:
                self._left = room - size
                self.sentLength += size
                if straight.unsent or size > HIGH_WATER:
                    straight.writeLarge(piece)
                else:
                    straight.write(piece)
                if left > 0 and not channel.isFull:
                    continue
                wait = self.drained() or channel.turn()
            else:
                wait = self._sent(piece, left)
                straight = self._straight()
            if wait is not None:
                left = IN_A_ROW
                await wait
                if self._disconnected or self.finished:
                    return
                straight = self._straight()

    def _straight(self) -> OutputStream | None:
        """Return the transport, if pieces can go there as they are."""
        if self.queued or self._left is None or self.channel is None or not self.startedWriting:
            return None
        transport = self.channel.transport
        return transport if isinstance(transport, OutputStream) else None

    def _sent(self, piece: Any, left: int) -> Deferred[None] | None:
        """Send a piece. Return what is to be awaited before the next one: that the peer, or another one, is served."""
        if self._disconnected or self.finished:
            return None
        if type(piece) is bytes or isView(piece):
            self._put(piece)  # as it is: nothing can change it
        else:
            self.write(piece)
        channel = self.channel
        if self.queued or channel.isFull:
            return self.drained()
        return channel.turn() if left <= 0 else None

    def _tunnelHead(self) -> bytes:
        """The head after which a tunnel begins: it has no length (RFC 9110, 9.3.6)."""
        lines = self.responseHeaders.asLines()
        return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (self.code, self.code_message, dateLine(), lines)


class _SectionSender(FileSender):
    """Sends a file that knows its end. So it is done with the last piece, and need not be asked once more."""

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.deferred is not None and cast("Any", self.file).isAtEnd:
            super().resumeProducing()  # which finds that nothing is left


def isView(piece: object) -> bool:
    """Whether `piece` is a part of a bytes object, which is not copied."""
    return type(piece) is memoryview and type(piece.obj) is bytes and bool(piece.c_contiguous) and piece.itemsize == 1


def _dispose(body: Any) -> None:
    """Close a body that nobody reads."""
    if type(body) is not bytes:
        ensureDeferred(_closed(body)).addErrback(lambda failure: log.error("closing a body", exc_info=failure.value))


async def _closed(body: Any) -> None:
    """Call the `aclose()` or the `close()` of a body, if it has one."""
    close = getattr(body, "aclose", None) or getattr(body, "close", None)
    if close is not None:
        closing = close()
        if closing is not None:
            await closing
