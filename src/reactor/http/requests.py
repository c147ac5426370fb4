"""Request: what a program sees of a request, and how it answers; the names and the behaviour are Twisted's.

A subclass defines `process()`, which is called when the whole request is there. It answers with `write` and `finish`,
at once or later. Requests of one connection are answered in their order. So a request has to wait for its turn while
an earlier one is not finished. Then it is `queued`, and keeps what it has written.

Headers, cookies and arguments are made when a program asks for them. Most requests never ask.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import SEEK_END, BytesIO
from math import ceil
from typing import TYPE_CHECKING, Any

from reactor._beside import beside
from reactor._logger import getLogger
from reactor.address import IPv4Address
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.http.bodies import LAST_CHUNK, chunk
from reactor.http.codes import CACHED, FOUND, NO_BODY_CODES, NOT_MODIFIED, PRECONDITION_FAILED, RESPONSES
from reactor.http.dates import dateLine, datetimeToString, stringToDatetime
from reactor.http.errors import HTTPError
from reactor.http.forms import MAX_FIELDS, formArgs, multipartArgs
from reactor.http.grammar import checkReason
from reactor.http.head import Pair, words
from reactor.http.headers import Headers
from reactor.linecore import asBytes

if TYPE_CHECKING:
    from reactor.http.channel import HTTPChannel

log = getLogger("reactor.http")

_HOSTNAME = re.compile(rb"\[(?P<address>[^\]]*)\]|(?P<host>[^:]*)")
_FORM = b"application/x-www-form-urlencoded"
_MULTIPART = b"multipart/form-data"
_SAME_SITE = (b"lax", b"strict", b"none")


class Request:
    """A request, and its answer. Twisted's `twisted.web.http.Request`.

    - `method`, `uri`, `clientproto`: bytes of the request line. `path` is the `uri` up to its "?".
    - `args`: the decoded query, and the fields of a form that was posted: names to lists of values, all bytes.
    - `requestHeaders`, `responseHeaders`: Headers. `content`: the body, as a binary file at its beginning.
    - `code`, `code_message`: of the answer. `sentLength`: the bytes of the answer's body so far.
    """

    #: Whether `process` is called as soon as the head is there, and the body comes through `bodyReceived`.
    streams = False

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
    method = b"(no method yet)"
    clientproto = b"(no clientproto yet)"
    uri = b"(no uri yet)"
    etag: bytes | None = None
    lastModified: int | None = None
    content: Any = None
    trailers: Sequence[Pair] = ()

    _disconnected = False
    _forceSSL = False
    _bodyless = False
    _left: int | None = None  # bytes that the announced length still allows
    _pairs: Sequence[Pair] = ()
    _known: Mapping[bytes, bytes] = {}
    _path: bytes | None = None
    _args: dict[bytes, list[bytes]] | None = None
    _requestHeaders: Headers | None = None
    _responseHeaders: Headers | None = None
    _client: Any = None
    _host: Any = None
    _cookies: list[bytes] | None = None
    _receivedCookies: dict[bytes, bytes] | None = None
    _notifications: list[Deferred[None]] | None = None
    _held: list[bytes] | None = None
    _ending: Callable[[], object] | None = None
    _user: bytes | None = None
    _password = b""

    def __init__(self, channel: HTTPChannel | Any, queued: Any = False, parsePOSTFormSubmission: bool = True) -> None:
        """Only a channel makes requests. With `parsePOSTFormSubmission`, `args` has the fields of a form, too."""
        self.channel = channel
        self.transport = channel.transport
        if queued:
            self.queued = queued
        self._parsesForms = parsePOSTFormSubmission

    def __repr__(self) -> str:
        line = b"%b %b %b" % (self.method, self.uri, self.clientproto)
        return f"<{type(self).__name__} {line.decode('latin-1')!r}>"

    # For the channel.

    def begin(self, line: tuple[bytes, bytes, bytes], pairs: list[Pair], known: dict[bytes, bytes]) -> None:
        """Called by the channel with the head: method, uri and version, the fields, and their values by name."""
        self.method, self.uri, self.clientproto = line
        self._pairs = pairs
        self._known = known

    def gotLength(self, length: int | None) -> None:
        """Called by the channel before the body: its length in bytes, or None if it is not known yet."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Called by the channel with a piece of the body."""
        self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called by the channel when the whole request is there. Calls `process`."""
        self.method, self.uri, self.clientproto = command, path, version
        if self.content is None:
            self.content = BytesIO()
        self.content.seek(0)
        if type(self).parseCookies is not Request.parseCookies:
            self.parseCookies()  # a subclass has its own
        if self._parsesForms and command == b"POST" and self.content.seek(0, SEEK_END):
            self.content.seek(0)
            self._readForm()
        processing = self.process()
        if processing is not None:
            beside(processing, self.processingFailed)

    def connectionLost(self, reason: Failure) -> None:
        """Called by the channel when the connection has ended before the answer."""
        self._disconnected = True
        self.channel = None
        if self.content is not None:
            self.content.close()
        waiting, self._notifications = self._notifications, None
        for deferred in waiting or ():
            deferred.errback(reason)

    def noLongerQueued(self) -> None:
        """Called by the channel when all earlier requests have been answered: sends what was kept."""
        self.queued = False
        held, self._held = self._held, None
        if held:
            self.channel.write(b"".join(held))
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
        if refusal is not error and not self._disconnected:
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

    # For programs: what was asked.

    def process(self) -> Any:
        """Called when the whole request is there: answer it, here or later. A subclass defines it.

        It may be `async def`. An exception is logged, and answered with 500; an HTTPError with its own code. If a part
        of the answer has been written, the connection is reset.
        """

    @property
    def path(self) -> bytes:
        """The `uri` up to its "?", not decoded."""
        return self.uri.split(b"?", 1)[0] if self._path is None else self._path

    @path.setter
    def path(self, path: bytes) -> None:
        self._path = path

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The decoded names and values of the query, and of a form that was posted."""
        if self._args is None:
            query = self.uri.partition(b"?")[2]
            self._args = formArgs(query) if query else {}
        return self._args

    @args.setter
    def args(self, args: dict[bytes, list[bytes]]) -> None:
        self._args = args

    @property
    def requestHeaders(self) -> Headers:
        """The fields of the request."""
        headers = self._requestHeaders
        if headers is None:
            headers = self._requestHeaders = Headers.ofPairs(self._pairs)
        return headers

    @requestHeaders.setter
    def requestHeaders(self, headers: Headers) -> None:
        self._requestHeaders = headers

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
    def received_cookies(self) -> dict[bytes, bytes]:
        """The cookies of the request, by name."""
        if self._receivedCookies is None:
            self._receivedCookies = {}
            self.parseCookies()
        return self._receivedCookies

    @received_cookies.setter
    def received_cookies(self, cookies: dict[bytes, bytes]) -> None:
        self._receivedCookies = cookies

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

    @property
    def client(self) -> Any:
        """The address of the peer."""
        if self._client is None:
            self._client = self.transport.getPeer()
        return self._client

    @client.setter
    def client(self, client: Any) -> None:
        self._client = client

    @property
    def host(self) -> Any:
        """The address on our side, or the one that setHost has set."""
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    @host.setter
    def host(self, host: Any) -> None:
        self._host = host

    def parseCookies(self) -> None:
        """Read the Cookie fields into `received_cookies`."""
        for value in self.requestHeaders.getRawHeaders(b"Cookie") or ():
            for cookie in value.split(b";"):
                name, equals, text = cookie.lstrip().partition(b"=")
                if equals:
                    self.received_cookies[name] = text

    def getHeader(self, key: bytes | str) -> Any:
        """Return the last value of a field of the request, of the type of `key`, or None."""
        values = self.requestHeaders.getRawHeaders(key)
        return None if values is None else values[-1]

    def getAllHeaders(self) -> dict[bytes, bytes]:
        """Return the last value of each field of the request, by its name in lower case."""
        return {name.lower(): values[-1] for name, values in self.requestHeaders.getAllRawHeaders() if values}

    def getCookie(self, key: bytes) -> bytes | None:
        """Return the value of a cookie of the request, or None."""
        return self.received_cookies.get(key)

    def getRequestHostname(self) -> bytes:
        """Return the host that the client asked for, without its port; our own address if the client named none."""
        host = self.getHeader(b"Host")
        if host is not None and (found := _HOSTNAME.match(host)) is not None:
            return found["address"] or found["host"] or b""
        return str(self.host.host).encode()

    def getHost(self) -> Any:
        """Return the address on our side, or the one that setHost has set."""
        return self.host

    def setHost(self, host: bytes, port: int, ssl: int = 0) -> None:
        """Pretend that the client asked for `host` and `port`, over TLS if `ssl`: for servers behind a proxy."""
        self._forceSSL = bool(ssl)
        default = 443 if self.isSecure() else 80
        self.requestHeaders.setRawHeaders(b"Host", [host if port == default else b"%b:%d" % (host, port)])
        self.host = IPv4Address("TCP", host.decode("ascii"), port)

    def getClientIP(self) -> str | None:
        """Return the peer's IP address, or None for a peer without one. Twisted prefers getClientAddress."""
        return getattr(self.client, "host", None)

    def getClientAddress(self) -> Any:
        """Return the peer's address, also after the end of the connection."""
        return self.client

    def isSecure(self) -> bool:
        """Whether the request came over TLS, or setHost said so."""
        return self._forceSSL or (self.channel is not None and self.channel.isSecure())

    def getUser(self) -> bytes:
        """Return the user of Basic authentication (RFC 7617), b"" without."""
        self._authorize()
        return self._user or b""

    def getPassword(self) -> bytes:
        """Return the password of Basic authentication, b"" without."""
        self._authorize()
        return self._password

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires with None after the answer, or fails if the connection ends before."""
        deferred: Deferred[None] = Deferred()
        self.notifications.append(deferred)
        return deferred

    # For programs: the answer.

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the code of the answer, from 100 to 999, and its reason. ValueError for a reason with control characters.

        Without a `message` the reason is the usual one.
        """
        if not isinstance(code, int) or not 100 <= code <= 999:
            raise ValueError(f"a response code is a number of three digits, not {code!r}")
        self.code_message = RESPONSES.get(code, b"Unknown Status") if message is None else checkReason(message)
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
        parts = [_cookieText(k) + b"=" + _cookieText(v)]
        for name, value in (
            (b"Expires", expires),
            (b"Domain", domain),
            (b"Path", path),
            (b"Max-Age", max_age),
            (b"Comment", comment),
        ):
            if value is not None:
                parts.append(name + b"=" + _cookieText(value))
        if secure:
            parts.append(b"Secure")
        if httpOnly:
            parts.append(b"HttpOnly")
        if sameSite:
            site = _cookieText(sameSite).lower()
            if site not in _SAME_SITE:
                raise ValueError(f"sameSite is lax, strict or none, not {sameSite!r}")
            if site == b"none" and not secure:
                raise ValueError("sameSite none needs secure")
            parts.append(b"SameSite=" + site)
        self.cookies.append(b"; ".join(parts))

    def setLastModified(self, when: float) -> Any:
        """Tell when the content has changed, in seconds since the epoch. The latest of several calls counts.

        If the client's copy is as new, the code becomes 304, and the result is CACHED: write no body.
        """
        seconds = ceil(when)
        if not self.lastModified or self.lastModified < seconds:
            self.lastModified = seconds
        since = self.getHeader(b"If-Modified-Since")
        if since:
            try:
                known = stringToDatetime(since.split(b";", 1)[0])
            except ValueError:
                return None
            if known >= self.lastModified:
                self.setResponseCode(NOT_MODIFIED)
                return CACHED
        return None

    def setETag(self, etag: bytes) -> Any:
        """Tell the entity tag, quotes included. The result is CACHED if the client has it: write no body."""
        if etag:
            self.etag = etag
        tags = self.getHeader(b"If-None-Match")
        if tags and (etag in (known := tags.replace(b",", b" ").split()) or b"*" in known):
            self.setResponseCode(NOT_MODIFIED if self.method in (b"HEAD", b"GET") else PRECONDITION_FAILED)
            return CACHED
        return None

    def write(self, data: bytes) -> None:
        """Send a piece of the answer's body. The first call sends the head.

        RuntimeError after `finish`, ValueError for more bytes than the answer's Content-Length allows, TypeError for
        what is not bytes-like. Nothing is sent to HEAD, nor with the codes 204 and 304. After the end of the connection
        it does nothing.
        """
        if self.finished:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if self._disconnected:
            return
        data = asBytes(data)
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
        if head or data:
            self.send(b"%b%b" % (head, data) if head else data)

    def finish(self) -> None:
        """End the answer. RuntimeError if the connection has ended; a second call is a warning."""
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
            self.send(LAST_CHUNK)
        if self._left:
            log.error("%s: the answer is %d bytes shorter than its Content-Length", self, self._left)
            self._endInTurn(self.channel.abort)
            return
        self._finished()

    def send(self, data: bytes) -> None:
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
        before `finish`. ValueError if there is one.
        """
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

    # Inside.

    def _endInTurn(self, end: Callable[[], object]) -> None:
        """End the connection by `end`, when the earlier requests have their answers."""
        if self.queued:
            self._ending = end
        else:
            end()

    def _finished(self) -> None:
        """The answer is complete, as far as the program is concerned."""
        factory = getattr(self.channel, "factory", None)
        if factory is not None and getattr(factory, "logs", True):
            factory.log(self)
        self.finished = 1
        if not self.queued:
            self._cleanup()

    def _cleanup(self) -> None:
        """The answer is complete, and all of it is sent."""
        if self.producer is not None:
            log.error("%s has finished with a producer that was not unregistered", self)
            self.unregisterProducer()
        channel, self.channel = self.channel, None
        if self.content is not None:
            self.content.close()
        channel.requestDone(self)
        if self._notifications is not None:
            waiting, self._notifications = self._notifications, None
            for deferred in waiting:
                deferred.callback(None)

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
        for name, values in headers.getAllRawHeaders():
            pieces += [b"%b: %b\r\n" % (name, value) for value in values]
        pieces.append(b"\r\n")
        return b"".join(pieces)

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

    def _readForm(self) -> None:
        """Add the fields of a form in the body to `args`. HTTPError 400 for a multipart body that is none."""
        kind = (self.getHeader(b"Content-Type") or b"").partition(b";")[0].strip().lower()
        if kind == _FORM:
            self.args.update(formArgs(self.content.read(), MAX_FIELDS))
        elif kind == _MULTIPART:
            self.args.update(multipartArgs(self.content.read(), self.getHeader(b"Content-Type")))
        self.content.seek(0)

    def _authorize(self) -> None:
        if self._user is not None:
            return
        self._user = b""
        scheme, _, encoded = (self.getHeader(b"Authorization") or b"").partition(b" ")
        if scheme.lower() == b"basic":
            try:
                user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
            except binascii.Error:
                return
            if colon:
                self._user, self._password = user, password


def _cookieText(part: bytes | str) -> bytes:
    text = part.encode() if isinstance(part, str) else bytes(part)
    if not _COOKIE(text):
        raise ValueError(f"no part of a cookie has a semicolon or a control character: {part!r}")
    return text


_COOKIE: Callable[[bytes], Any] = re.compile(rb"[\t -:<-~\x80-\xff]*").fullmatch
