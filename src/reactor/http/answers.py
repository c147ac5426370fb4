"""Answer: the half of a request that goes out. Its names and behaviour are those of Twisted's Request.

Requests of one connection are answered in their order. So an answer has to wait for its turn while an earlier one is
not finished. Then it is `queued`, and keeps what the program has written.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from reactor._beside import beside
from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.http.bodies import LAST_CHUNK, chunk
from reactor.http.codes import FOUND, NO_BODY_CODES, RESPONSES, UNKNOWN
from reactor.http.cookies import cookieText
from reactor.http.dates import dateLine, datetimeToString
from reactor.http.errors import HTTPError
from reactor.http.grammar import checkReason
from reactor.http.head import words
from reactor.http.headers import Headers
from reactor.http.trailers import lastChunk
from reactor.linecore import asBytes

log = getLogger("reactor.http")

#: A piece of an answer that has so many bytes is sent at once, if it can be: that spares a copy.
STRAIGHT = 32 * 1024


class Answer:
    """The answer to a request: see Request, which adds what was asked.

    - `code`, `code_message`, `responseHeaders`, `cookies`: of the answer, as far as the program sets them.
    - `responseTrailers`: Headers, a mapping or pairs, sent after the body if that is chunked. None: no trailers.
    - `sentLength`: the bytes of its body so far. `finished`: whether the program has ended it.
    - `queued`: whether earlier requests are not answered. `persistent`: whether the connection goes on after it.
    """

    method = b"(no method yet)"
    clientproto = b"(no clientproto yet)"

    channel: Any
    producer: Any = None
    streamingProducer = False
    finished = 0
    startedWriting = 0
    chunked = 0
    sentLength = 0
    queued: Any = False
    persistent = True
    code = 200
    code_message = b"OK"
    etag: bytes | None = None
    lastModified: int | None = None
    responseTrailers: Any = None

    _disconnected = False
    _bodyless = False
    _left: int | None = None  # bytes that the announced length still allows
    _responseHeaders: Headers | None = None
    _cookies: list[bytes] | None = None
    _notifications: list[Deferred[None]] | None = None
    _held: list[bytes | memoryview] | None = None
    _ending: Callable[[], object] | None = None

    @property
    def responseHeaders(self) -> Headers:
        """The fields of the answer, as far as the program sets them."""
        headers = self._responseHeaders
        if headers is None:
            headers = self._responseHeaders = Headers()
        return headers

    @responseHeaders.setter
    def responseHeaders(self, headers: Headers) -> None:
        self._responseHeaders = headers

    @property
    def cookies(self) -> list[bytes]:
        """The cookies of the answer, each as the value of a Set-Cookie field."""
        if self._cookies is None:
            self._cookies = []
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: list[bytes]) -> None:
        self._cookies = cookies

    @property
    def notifications(self) -> list[Deferred[None]]:
        """The Deferreds of notifyFinish that have not fired."""
        if self._notifications is None:
            self._notifications = []
        return self._notifications

    @notifications.setter
    def notifications(self, notifications: list[Deferred[None]]) -> None:
        self._notifications = notifications

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires with None after the answer, or fails if the connection ends before."""
        deferred: Deferred[None] = Deferred()
        self.notifications.append(deferred)
        return deferred

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the code of the answer, from 100 to 999, and its reason. ValueError for a reason with control characters.

        Without a `message` the reason is the usual one.
        """
        if not isinstance(code, int) or not 100 <= code <= 999:
            raise ValueError(f"a response code is a number of three digits, not {code!r}")
        self.code_message = RESPONSES.get(code, UNKNOWN) if message is None else checkReason(message)
        self.code = code

    def setHeader(self, name: bytes | str, value: bytes | str) -> None:
        """Set a field of the answer, in place of earlier ones. ValueError for what no field may have (RFC 9110, 5)."""
        self.responseHeaders.setRawHeaders(name, [value])

    def redirect(self, url: bytes | str) -> None:
        """Answer with 302 and this Location. The program finishes the request."""
        self.setHeader(b"Location", url)
        self.setResponseCode(FOUND)

    def addCookie(
        self,
        k: bytes | str,
        v: bytes | str,
        expires: bytes | str | None = None,
        domain: bytes | str | None = None,
        path: bytes | str | None = None,
        max_age: bytes | str | None = None,
        comment: bytes | str | None = None,
        secure: bool | None = None,
        httpOnly: bool = False,
        sameSite: bytes | str | None = None,
    ) -> None:
        """Add a Set-Cookie field to the answer, with the name `k` and the value `v` (RFC 6265, 4.1).

        The other arguments are the attributes of the cookie; `max_age` is a number of seconds, as text. `sameSite` is
        lax, strict or none, and none needs `secure`. ValueError for all else there, and for a control character or a
        semicolon anywhere.
        """
        attributes = (expires, domain, path, max_age, comment)
        self.cookies.append(cookieText(k, v, attributes, secure, httpOnly, sameSite))

    def write(self, data: bytes) -> None:
        """Send a piece of the answer's body. The first call sends the head.

        RuntimeError after `finish`, ValueError for more bytes than the answer's Content-Length allows, TypeError for
        what is not bytes-like. Nothing is sent to HEAD, nor with the codes 204 and 304. After the end of the connection
        it does nothing.
        """
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if not self._disconnected:
            self._put(asBytes(data))

    def _put(self, data: bytes | memoryview) -> None:
        """Send a piece. A memoryview is one of bytes."""
        head = b""
        if not self.startedWriting:
            head = self._head()
            self.startedWriting = 1
        if self._bodyless:
            data = b""
        size = len(data)
        if self._left is not None:
            if size > self._left:
                if head:
                    self.send(head)
                raise ValueError(f"{size - self._left} bytes more than the answer's Content-Length")
            self._left -= size
        self.sentLength += size
        if self.chunked:
            data = chunk(data)
        if head:
            data = b"".join((head, data))
        if size >= STRAIGHT and not self.queued:
            self.channel.writeLarge(data)
        elif data:
            self.send(data)

    def finish(self) -> None:
        """End the answer. RuntimeError if the connection has ended; a second call is a warning.

        ValueError for a trailer that is none.
        """
        if self._disconnected:
            raise RuntimeError(
                "Request.finish called on a request after its connection was lost; "
                "use Request.notifyFinish to keep track of this."
            )
        if self.finished:
            warnings.warn("Warning! request.finish called twice.", stacklevel=2)
            return
        if not self.startedWriting:
            if self._responseHeaders is None or not self._responseHeaders.hasHeader(b"Content-Length"):
                self._announceNothing()
            self.write(b"")
        if self.chunked:
            self.send(LAST_CHUNK if self.responseTrailers is None else lastChunk(self.responseTrailers))
        if self._left:
            log.error("%s: the answer is %d bytes shorter than its Content-Length", self, self._left)
            self._endInTurn(self.channel.abort)
            return
        self._finished()

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes of the answer, framing included, or keep them until it is this request's turn."""
        if not self.queued:
            self.channel.write(data)
        elif self._held is None:
            self._held = [data]
        else:
            self._held.append(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach a producer of the answer's body: a push producer if `streaming`, else a pull producer.

        It is paused while the peer takes less than it writes, and while earlier requests have no answer. Unregister it
        before `finish`. After the end of the connection its stopProducing() is called. ValueError if there is one.
        """
        if self._disconnected:
            beside(producer.stopProducing())
            return
        if self.producer is not None:
            raise ValueError(f"registering producer {producer} before previous one ({self.producer}) was unregistered")
        self.streamingProducer = streaming
        self.producer = producer
        if not self.queued:
            self.channel.registerProducer(producer, streaming)
        elif streaming:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Detach the producer."""
        if not self.queued and self.channel is not None:
            self.channel.unregisterProducer()
        self.producer = None

    def loseConnection(self) -> None:
        """Close the connection when what was written has been sent, and the answers of earlier requests."""
        if self.channel is not None:
            self._endInTurn(self.channel.loseConnection)

    def _endInTurn(self, end: Callable[[], object]) -> None:
        """End the connection by `end`, when the earlier requests have their answers."""
        if self.queued:
            self._ending = end
        else:
            end()

    def _finished(self) -> None:
        """The answer is complete, as far as the program is concerned."""
        if self.queued:
            self.finished = 1
            return  # it is logged in its turn, if that comes
        self._tellLog()
        self.finished = 1
        self._cleanup()

    def _tellLog(self) -> None:
        """Have the factory log the request. A failure costs the line, and not the answer."""
        factory = getattr(self.channel, "factory", None)
        if factory is not None and getattr(factory, "logs", True):
            try:
                factory.log(self)
            except Exception:
                log.exception("%s: the access log has failed", self)

    def _cleanup(self) -> None:
        """The answer is complete, and all of it is sent."""
        if self.producer is not None:
            log.error("%s has finished with a producer that was not unregistered", self)
            self.unregisterProducer()
        channel, self.channel = self.channel, None
        self._ended()
        othersWait = len(getattr(channel, "requests", ())) > 1
        if othersWait:  # before the next answer, so that programs hear of all in their order
            self._notify()
        channel.requestDone(self)
        if not othersWait:
            self._notify()

    def _notify(self) -> None:
        waiting, self._notifications = self._notifications, None
        for deferred in waiting or ():
            deferred.callback(None)

    def _ended(self) -> None:
        """Called when the answer is complete: a subclass gives back what it holds."""

    def _announceNothing(self) -> None:
        """An answer without a body says so, where it may have one: the next one may follow at once."""
        if self.code not in NO_BODY_CODES and self.code >= 200 and self.method != b"HEAD":
            self.responseHeaders.setRawHeaders(b"Content-Length", [b"0"])

    def _head(self) -> bytes:
        """The head of the answer, as the program has set it, with the fields that are ours."""
        headers = self.responseHeaders
        if self.lastModified is not None and not headers.hasHeader(b"Last-Modified"):
            headers.setRawHeaders(b"Last-Modified", [datetimeToString(self.lastModified)])
        if self.etag is not None:
            headers.setRawHeaders(b"ETag", [self.etag])
        if self._cookies:
            headers.setRawHeaders(b"Set-Cookie", self._cookies)
        pieces = [b"HTTP/1.1 %d %b\r\n" % (self.code, checkReason(self.code_message))]
        if not headers.hasHeader(b"Date"):
            pieces.append(dateLine())
        pieces += self._framing(headers)
        return b"%b%b\r\n" % (b"".join(pieces), headers.asLines())

    def _framing(self, headers: Headers) -> list[bytes]:
        """Decide how the body ends and whether the connection persists. Return the fields that tell it."""
        self._bodyless = self.method == b"HEAD" or self.code in NO_BODY_CODES or self.code < 200
        lengths = headers.getRawHeaders(b"Content-Length")
        headers.removeHeader(b"Transfer-Encoding")
        told: list[bytes] = []
        if self.code < 200 or self.code == 204:
            headers.removeHeader(b"Content-Length")  # RFC 9110, 8.6
        elif lengths is not None:
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise ValueError(f"a Content-Length is one number, not {lengths!r}")
            if not self._bodyless:
                self._left = int(lengths[0])
        elif not self._bodyless:
            if self.clientproto == b"HTTP/1.1":
                self.chunked = 1
                told.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self.persistent = False  # the end of the connection is the end of the body
        options = [word for value in headers.getRawHeaders(b"Connection") or () for word in words(value)]
        if b"close" in options:
            self.persistent = False
        elif self.code >= 200:
            decide = getattr(self.channel, "decidePersistence", None)  # channels in tests of programs have none
            if decide is not None:
                decide(self)
            if not self.persistent:
                headers.setRawHeaders(b"Connection", [*(headers.getRawHeaders(b"Connection") or ()), b"close"])
            elif self.clientproto == b"HTTP/1.0" and b"keep-alive" not in options:
                told.append(b"Connection: keep-alive\r\n")
        return told

    def refuse(self, error: HTTPError) -> None:
        """Answer with the code and the text of `error`. Nothing of an answer may have been written yet."""
        self._responseHeaders = None
        self._cookies = self.etag = self.lastModified = None
        self.setResponseCode(error.code)
        headers: Any = error.headers or ()
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            self.responseHeaders.addRawHeader(name, value)
        body = error.text.encode("utf-8", "replace") + b"\n"
        if not self.responseHeaders.hasHeader(b"Content-Type"):
            self.responseHeaders.setRawHeaders(b"Content-Type", [b"text/plain; charset=utf-8"])
        self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        self.write(body)
        self.finish()

    def giveUp(self) -> None:
        """Called by the channel when it has answered itself. A program that answers later speaks to nobody."""
        self._disconnected = True

    def noLongerQueued(self) -> None:
        """Called by the channel when all earlier requests have been answered: sends what was kept."""
        self.queued = False
        held, self._held = self._held, None
        if held:
            self.channel.write(b"".join(held))
        if self.finished:
            self._tellLog()
        if self._ending is not None:
            self._ending()
        elif self.finished:
            self._cleanup()
        elif self.producer is not None:
            self.channel.registerProducer(self.producer, self.streamingProducer)
            if self.streamingProducer and not self.channel.isFull:
                self.producer.resumeProducing()

    def processingFailed(self, failure: Failure) -> None:
        """Called with what `process` has raised. Answers 500, or an HTTPError's own code; else ends the connection.

        All but HTTPErrors are logged. The peer gets no word of them.
        """
        error = failure.value
        refusal = error if isinstance(error, HTTPError) else HTTPError(500)
        if (refusal is not error or self.startedWriting) and not self._disconnected:
            log.error("%s has failed", self, exc_info=error)
        if self._disconnected or self.finished:
            return
        if self.startedWriting:
            self._endInTurn(self.channel.abort)
            return
        try:
            self.refuse(refusal)
        except Exception as fault:  # the fields of the HTTPError
            log.error("%s: an answer cannot be sent", self, exc_info=fault)
            self.refuse(HTTPError(500))

    def connectionLost(self, reason: Failure) -> None:
        """Called by the channel when the connection has ended before the answer."""
        self._disconnected = True
        self.channel = None
        producer, self.producer = self.producer, None
        if producer is not None and self.queued:  # that of the first request has been told by the channel
            try:
                beside(producer.stopProducing())
            except Exception:
                log.exception("%s: its producer has failed at the end of the connection", self)
        waiting, self._notifications = self._notifications, None
        for deferred in waiting or ():
            deferred.errback(reason)
