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
from collections.abc import Mapping, Sequence
from io import SEEK_END, BytesIO
from math import ceil
from typing import TYPE_CHECKING, Any

from reactor._beside import beside
from reactor._logger import getLogger
from reactor.address import IPv4Address
from reactor.failure import Failure
from reactor.http.codes import CACHED, NOT_MODIFIED, PRECONDITION_FAILED
from reactor.http.dates import stringToDatetime
from reactor.http.forms import MAX_FORM_FIELDS, formArgs, multipartArgs
from reactor.http.head import Pair
from reactor.http.headers import Headers
from reactor.http.responding import Responding

if TYPE_CHECKING:
    from reactor.http.channel import HTTPChannel

log = getLogger("reactor.http")

_HOSTNAME = re.compile(rb"\[(?P<address>[^\]]*)\]|(?P<host>[^:]*)")
_FORM = b"application/x-www-form-urlencoded"
_MULTIPART = b"multipart/form-data"


class Request(Responding):
    """A request, and its answer. Twisted's `twisted.web.http.Request`.

    - `method`, `uri`, `clientproto`: bytes of the request line. `path` is the `uri` up to its "?".
    - `args`: the decoded query, and the fields of a form that was posted: names to lists of values, all bytes.
    - `requestHeaders`, `responseHeaders`: Headers. `content`: the body, as a binary file at its beginning.
    - `code`, `code_message`: of the answer. `sentLength`: the bytes of the answer's body so far.
    """

    #: Whether the request is handed on as soon as its head is there. Only HandledRequest, which has a `body`, does so.
    streams = False

    uri = b"(no uri yet)"
    content: Any = None
    trailers: Sequence[Pair] = ()

    _forceSSL = False
    _pairs: Sequence[Pair] = ()
    #: The values of the fields that decide about the message, by their names in lower case.
    knownFields: Mapping[bytes, bytes] = {}
    _path: bytes | None = None
    _args: dict[bytes, list[bytes]] | None = None
    _requestHeaders: Headers | None = None
    _client: Any = None
    _host: Any = None
    _receivedCookies: dict[bytes, bytes] | None = None
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
        self.knownFields = known

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
        super().connectionLost(reason)
        self._ended()

    def _ended(self) -> None:
        """See Answer."""
        super()._ended()
        if self.content is not None:
            self.content.close()

    def process(self) -> Any:
        """Called when the whole request is there: answer it, here or later. A subclass defines it.

        It may be `async def`. An exception is logged, and answered with 500; an HTTPError with its own code. If a part
        of the answer has been written, the connection is reset.
        """

    @property
    def path(self) -> bytes:
        """The path of the `uri`, up to its "?", not decoded. A target in absolute form begins with a host; it has none.

        RFC 9112, 3.2.2: both forms of a target mean the same.
        """
        if self._path is None:
            target = self.uri.split(b"?", 1)[0]
            if not target.startswith(b"/") and b"://" in target:
                target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
            self._path = target
        return self._path

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
        """Return the value of a cookie of the request, or None. TypeError for a name that is not bytes."""
        if not isinstance(key, bytes):
            raise TypeError(f"the name of a cookie is bytes, not {key!r}")
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

    # For programs: the answer.

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

    # Inside.

    def _readForm(self) -> None:
        """Add the fields of a form in the body to `args`. HTTPError 400 for a multipart body that is none."""
        kind = (self.getHeader(b"Content-Type") or b"").partition(b";")[0].strip().lower()
        if kind == _FORM:
            self.args.update(formArgs(self.content.read(), MAX_FORM_FIELDS))
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
