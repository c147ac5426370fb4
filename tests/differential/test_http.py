"""HTTP programs on our classes and on Twisted's: the same text, the same traces.

The subjects are those of `twisted.web.test.test_http`, as far as they are behaviour. Chosen differences are not here,
but in tests/parity/test_differences.py.

REACTOR_PROGRAMS tells how many random programs there are (default 2,000), REACTOR_SEED with which seed they begin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.differential.httpscripts import CUTS, OURS, THEIRS, Script, World, headOf, traceOf
from tests.differential.randomhttp import DO, Program, traces

PROGRAMS = int(os.environ.get("REACTOR_PROGRAMS", "2000"))
SEED = int(os.environ.get("REACTOR_SEED", "0"))
PARTS = 10

SCRIPTS: list[Script] = []


def script(function: Script) -> Script:
    SCRIPTS.append(function)
    return function


Case = Callable[[World, Any], object]


def scriptsOf(**cases: Any) -> Callable[[Case], Case]:
    """Make a script of each case, from a function of a world and the case."""

    def decorate(function: Case) -> Case:
        for name, case in cases.items():

            def run(world: World, case: Any = case) -> None:
                function(world, case)

            run.__name__ = f"{function.__name__}-{name}"
            SCRIPTS.append(run)
        return function

    return decorate


# The client of HTTP/1.0.


def client(world: World) -> Any:
    """Connect a client that tells of everything."""

    class Client(world.kit.HTTPClient):  # type: ignore[name-defined,misc]
        def connectionMade(self) -> None:
            self.sendCommand(b"GET", b"/path?query")
            self.sendHeader(b"Host", b"example.com")
            self.sendHeader(b"X-Number", 5)
            self.endHeaders()

        def handleStatus(self, version: bytes, status: bytes, message: bytes) -> None:
            world.say("status", version, status, message)

        def handleHeader(self, key: bytes, val: bytes) -> None:
            world.say("header", key, val)

        def handleEndHeaders(self) -> None:
            world.say("end of headers", self.length)

        def handleResponse(self, response: bytes) -> None:
            world.say("response", response, self.length)

    made = Client()
    world.connect(made)
    return made


@scriptsOf(
    withLength=b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    untilTheEnd=b"HTTP/1.1 201 Very well\r\nServer: x\r\n\r\nhello\r\nyou",
    noMessage=b"HTTP/1.0 201\r\n\r\n",
    trailingSpace=b"HTTP/1.0 201 \r\n\r\n",
    spaces=b"HTTP/1.0   404\tNot  Found \r\n\r\n",
    noFields=b"HTTP/1.0 200 OK\r\n\r\nhello",
    folded=b"HTTP/1.0 200 OK\r\nX-A: line-0\r\n\tline-1\r\nX-B: line-2\r\n line-3\r\nContent-Length: 2\r\n\r\nab",
    spacesAroundValues=b"HTTP/1.0 200 OK\r\nA:b\r\nC:   d  \r\nE:\r\nF :g\r\n\r\n",
    oneFieldTwice=b"HTTP/1.0 200 OK\r\nA: 1\r\na: 2\r\n\r\nhello",
    cutOff=b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nhello",
    cutOffInTheHead=b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n",
    cutOffInTheStatus=b"HTTP/1.0 200",
    nothing=b"",
)
def clientReads(world: World, answer: bytes) -> None:
    client(world)
    world.wire()
    world.receive(answer)
    world.lose()


@script
def clientTakesTheBodyInPieces(world: World) -> None:
    made = client(world)
    made.handleResponsePart = lambda data: world.say("part", data)
    made.handleResponseEnd = lambda: world.say("over")
    for piece in (b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nab", b"cd", b"ef", b"gh"):
        world.attempt(made.dataReceived, piece)
    world.lose()


@script
def clientSendsABody(world: World) -> None:
    class Client(world.kit.HTTPClient):  # type: ignore[name-defined,misc]
        def connectionMade(self) -> None:
            self.sendCommand(b"POST", b"/")
            self.sendHeader(b"Content-Length", 4)
            self.endHeaders()
            self.transport.write(b"body")

        def handleResponse(self, response: bytes) -> None:
            world.say("response", response)
            self.transport.loseConnection()

    world.connect(Client())
    world.receive(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    world.lose()


@script
def clientWithoutATransport(world: World) -> None:
    made = client(World(world.kit))
    made.transport = None
    made.handleStatus = lambda *words: world.say("status", words)
    made.handleHeader = lambda *words: world.say("header", words, made.length)
    made.handleEndHeaders = lambda: world.say("end of headers", made.length)
    for line in (b"HTTP/1.0 201", b"Content-Length: 10", b"X: y", b""):
        made.lineReceived(line)
        world.say("length", made.length)


# Requests as a program sees them.


def requestOf(world: World, process: Callable[[Any], object]) -> Any:
    """A request's class whose process() is `process`; exceptions are noted. The world keeps each request."""

    class Request(world.http.Request):  # type: ignore[name-defined,misc]
        def process(self) -> None:
            world.requests.append(self)
            world.attempt(process, self)

    return Request


def answering(world: World, act: Callable[[Any], object] | None = None, body: bytes = b"answer") -> Any:
    """A request's class that says what it is, calls `act`, and answers with `body` and its length."""

    def process(request: Any) -> None:
        world.say("process", request.method, request.uri, request.path, request.args, request.clientproto)
        if act is not None:
            world.attempt(act, request)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()

    return requestOf(world, process)


@scriptsOf(
    plain="/",
    query="/a/b?c=d",
    repeated="/?a=1&b=2&a=3",
    blank="/?a=&b",
    noName="/?=b",
    escapes="/%20x?a=%20%2b+c&%61=%zz&d=%",
    marks="/?a=b?c&d=e=f",
    onlyMark="/?",
    ampersands="/?&&a=1&&",
    highBytes="/?a=%ff%00",
    star="*",
    parameters="/a;b/c;d?e",
    dots="/a/../b/./c//d",
)
def targets(world: World, target: str) -> None:
    world.serve(answering(world))
    world.receive(headOf(target=target, method="OPTIONS" if target == "*" else "GET"))


@scriptsOf(
    several=["X-A: 1", "x-a: 2", "X-B: 3"],
    capitals=["CONTENT-TYPE: text/plain", "etag: x", "www-authenticate: y", "dnt: 1"],
    spaces=["A:b", "C:   d  ", "E:\tf\t", "G:", "H: i j  k"],
    highBytes=[b"A: \xff\xe4", "B: grün"],
    tokens=["!#$%&'*+-.^_`|~: x"],
)
def fields(world: World, lines: list[str | bytes]) -> None:
    def act(request: Any) -> None:
        world.say(sorted((name, list(values)) for name, values in request.requestHeaders.getAllRawHeaders()))
        world.say(sorted(request.getAllHeaders().items()))
        world.say(request.getHeader(b"x-a"), request.getHeader("X-A"), request.getHeader("none"))
        world.say(request.requestHeaders.getRawHeaders("x-a"), request.requestHeaders.hasHeader("Host"))

    world.serve(answering(world, act))
    world.receive(headOf(lines))


@scriptsOf(
    one=["Cookie: a=b"],
    several=["Cookie: a=b; c=d;e=f;  g=h "],
    repeated=["Cookie: a=b", "cookie: c=d; a=e"],
    odd=["Cookie: a; =b; c=; d=e=f;; ;x y=z"],
    empty=["Cookie:"],
    none=["X: y"],
    quoted=['Cookie: a="b; c"'],
)
def cookies(world: World, lines: list[str]) -> None:
    def act(request: Any) -> None:
        world.say(sorted(request.received_cookies.items()))
        world.say(request.getCookie(b"a"), request.getCookie(b"none"))

    world.serve(answering(world, act))
    world.receive(headOf(lines))


@scriptsOf(
    none=[],
    basic=["Authorization: Basic dXNlcjpwYXNz"],
    lower=["authorization: basic dXNlcjpwYXNz"],
    colons=["Authorization: Basic dXNlcjpwYTpzcw=="],
    noColon=["Authorization: Basic dXNlcg=="],
    noWord=["Authorization: Basic"],
    bearer=["Authorization: Bearer dXNlcjpwYXNz"],
    notBase64=["Authorization: Basic $$$"],
    badPadding=["Authorization: Basic dXNlcjpwYXNzzz"],
    threeWords=["Authorization: Basic dXNl cjpw"],
    empty=["Authorization:"],
)
def authorization(world: World, lines: list[str]) -> None:
    def act(request: Any) -> None:
        world.say(request.getUser(), request.getPassword(), request.getUser())

    world.serve(answering(world, act))
    world.receive(headOf(lines))


@scriptsOf(
    plain="example.org",
    port="example.org:8080",
    ipv4="127.0.0.1:80",
    ipv6="[::1]",
    ipv6Port="[::1]:8080",
    capitals="Example.ORG",
)
def hostNames(world: World, host: str) -> None:
    world.serve(answering(world, lambda request: world.say(request.getRequestHostname())))
    world.receive(headOf([f"Host: {host}"]))


@script
def hostNameWithoutAField(world: World) -> None:
    world.serve(answering(world, lambda request: world.say(request.getRequestHostname())))
    world.receive(headOf(version="HTTP/1.0"))


@script
def addresses(world: World) -> None:
    def act(request: Any) -> None:
        for address in (request.getClientAddress(), request.getHost(), request.client, request.host):
            world.say(type(address).__name__, address.type, address.host, address.port)
        world.say(bool(request.isSecure()))
        request.setHost(b"www.example.com", 443, ssl=1)
        world.say(request.getRequestHostname(), bool(request.isSecure()), request.getHost().port)
        request.setHost(b"www.example.com", 81, ssl=1)
        world.say(request.getHeader(b"host"), request.getRequestHostname())
        request.setHost(b"www.example.com", 80, ssl=0)
        world.say(request.getHeader(b"host"), bool(request.isSecure()))
        request.setHost(b"www.example.com", 8080)
        world.say(request.getHeader(b"host"))

    world.serve(answering(world, act))
    world.receive(headOf())


@script
def requestsAsObjects(world: World) -> None:
    def act(request: Any) -> None:
        other = world.http.Request(request.channel)
        world.say(request == request, request == other, request != other, request == 5, request in {request: 1})
        world.say([part in repr(request) for part in ("Request", "GET", "/x?y", "HTTP/1.1")])
        world.say("no method yet" in repr(other))
        world.say(request.code, request.code_message, bool(request.finished), bool(request.startedWriting))
        world.say(request.sentLength, request.etag, request.lastModified, request.producer, request.cookies)
        world.say(request.channel is world.protocol, request.transport is world.transport, request.notifications)

    world.serve(answering(world, act))
    world.receive(headOf(target="/x?y"))
    request = world.requests[0]
    world.say(bool(request.finished), bool(request.startedWriting), request.sentLength, request.code)


# Bodies.


def reading(world: World) -> Callable[[Any], object]:
    def act(request: Any) -> None:
        world.say(request.content.read(3), request.content.read(), request.content.tell())
        request.content.seek(0)
        world.say(request.content.read())

    return act


def postOf(body: bytes, *fields: str, method: str = "POST", target: str = "/", version: str = "HTTP/1.1") -> bytes:
    return headOf([*fields, f"Content-Length: {len(body)}"], target, method, version) + body


@scriptsOf(
    empty=postOf(b""),
    short=postOf(b"hello"),
    put=postOf(b"a=b", "Content-Type: application/x-www-form-urlencoded", method="PUT"),
    get=postOf(b"a=b", method="GET"),
    old=postOf(b"hello", version="HTTP/1.0"),
    large=postOf(b"0123456789" * 300),
    noLength=headOf(method="POST"),
    chunked=headOf(["Transfer-Encoding: chunked"], method="POST")
    + b"6\r\nHello,\r\n14\r\n spam,eggs spam spam\r\n0\r\n\r\n",
    chunkedOfNothing=headOf(["Transfer-Encoding: chunked"], method="POST") + b"0\r\n\r\n",
    trailers=headOf(["Transfer-Encoding: chunked"], method="POST") + b"3\r\nabc\r\n0\r\nX: y\r\nZ: a\r\n\r\n",
    extensions=headOf(["Transfer-Encoding: Chunked"], method="POST") + b"3;a=b;c\r\nabc\r\n000;d\r\n\r\n",
)
def bodies(world: World, data: bytes) -> None:
    world.serve(answering(world, reading(world)))
    world.receive(data)
    world.receive(headOf(target="/next"))


FORM = "Content-Type: application/x-www-form-urlencoded"


@scriptsOf(
    form=postOf(b"a=1&b=2&a=3", FORM),
    charset=postOf(b"a=%C3%BC", FORM + "; charset=utf-8"),
    capitals=postOf(b"a=1", "content-type: Application/X-WWW-Form-URLEncoded"),
    withQuery=postOf(b"a=1&b=2", FORM, target="/?a=0&c=3"),
    blank=postOf(b"a=&b&=c", FORM),
    empty=postOf(b"", FORM),
    otherType=postOf(b"a=1", "Content-Type: text/plain"),
    noType=postOf(b"a=1"),
    chunked=headOf(["Transfer-Encoding: chunked", FORM], method="POST") + b"3\r\na=1\r\n0\r\n\r\n",
)
def forms(world: World, data: bytes) -> None:
    world.serve(answering(world, lambda request: world.say(request.args, request.content.read())))
    world.receive(data)


def multipart(*parts: bytes, boundary: bytes = b"AaB03x", end: bytes = b"--") -> bytes:
    lines = [line for part in parts for line in (b"--" + boundary, part)]
    return b"\r\n".join([*lines, b"--" + boundary + end, b""])


FIELD = b'Content-Disposition: form-data; name="%b"\r\n\r\n%b'
TYPE = "Content-Type: multipart/form-data; boundary=AaB03x"


@scriptsOf(
    fields=postOf(multipart(FIELD % (b"a", b"1"), FIELD % (b"b", b"two words"), FIELD % (b"a", b"3")), TYPE),
    quotedBoundary=postOf(multipart(FIELD % (b"a", b"1")), 'Content-Type: multipart/form-data; boundary="AaB03x"'),
    empty=postOf(multipart(FIELD % (b"a", b"")), TYPE),
    lines=postOf(multipart(FIELD % (b"a", b"1\r\n2\r\n\r\n3")), TYPE),
    binary=postOf(
        multipart(
            b'Content-Disposition: form-data; name="f"; filename="x.bin"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n\x00\x01\xff\xfe\x80"
        ),
        TYPE,
    ),
    file=postOf(
        multipart(
            FIELD % (b"text", b"abc"),
            b'Content-Disposition: form-data; name="cfield"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nfile',
        ),
        TYPE,
    ),
    noName=postOf(multipart(b"Content-Disposition: form-data\r\n\r\n1", FIELD % (b"b", b"2")), TYPE),
    withQuery=postOf(multipart(FIELD % (b"a", b"1")), TYPE, target="/?a=0&b=2"),
    preamble=postOf(b"preamble\r\n" + multipart(FIELD % (b"a", b"1")) + b"epilogue", TYPE),
    nothing=postOf(b"", TYPE),
)
def multiparts(world: World, data: bytes) -> None:
    world.serve(answering(world, lambda request: world.say(request.args, request.content.read())))
    world.receive(data)


# Answers.


def answer(world: World, act: Callable[[Any], object], *fields: str, **named: str) -> None:
    """Serve one request, which `act` answers."""
    world.serve(requestOf(world, act))
    world.receive(headOf(fields, **named))
    world.wire()


@scriptsOf(
    empty=[b""],
    one=[b"hello"],
    several=[b"hel", b"lo", b""],
    large=[b"0123456789" * 2000],
    emptyFirst=[b"", b"hello"],
)
def writes(world: World, pieces: list[bytes]) -> None:
    for method, version in (("GET", "HTTP/1.1"), ("HEAD", "HTTP/1.1"), ("POST", "HTTP/1.1"), ("GET", "HTTP/1.0")):
        for withLength in (False, True):
            each = World(world.kit, world.cut)

            def process(request: Any, withLength: bool = withLength, world: World = each) -> None:
                if withLength:
                    request.setHeader(b"content-length", b"%d" % len(b"".join(pieces)))
                for piece in pieces:
                    request.write(piece)
                    world.say("sent", request.sentLength, bool(request.startedWriting), bool(request.chunked))
                request.finish()
                world.say("finished", bool(request.finished))

            answer(each, process, method=method, version=version)
            world.say(method, version, withLength, each.trace)


@scriptsOf(**{str(code): code for code in (200, 201, 204, 205, 206, 304, 400, 404, 413, 418, 500, 503, 599, 999)})
def responseCodes(world: World, code: int) -> None:
    def process(request: Any) -> None:
        request.setResponseCode(code)
        world.say(request.code, request.code_message)
        request.write(b"body")
        request.write(b"more")
        request.finish()

    answer(world, process)
    world.receive(headOf(target="/next"))


@script
def ownReasons(world: World) -> None:
    def process(request: Any) -> None:
        request.setResponseCode(200, b"Fine")
        world.say(request.code, request.code_message)
        request.setResponseCode(201, b"Sie ist gr\xfcn")
        request.setHeader(b"content-length", b"0")
        request.finish()

    answer(world, process)


@script
def responseHeaders(world: World) -> None:
    def process(request: Any) -> None:
        request.setHeader("x-text", "one")
        request.setHeader(b"X-Bytes", b"two")
        request.setHeader(b"x-bytes", b"three")
        request.responseHeaders.addRawHeader(b"x-more", b"1")
        request.responseHeaders.addRawHeader("X-More", "2")
        request.responseHeaders.setRawHeaders("etag", ["x"])
        request.setHeader(b"x-gone", b"1")
        request.responseHeaders.removeHeader("X-Gone")
        request.setHeader(b"content-length", b"2")
        request.write(b"ab")
        request.setHeader(b"x-late", b"1")
        request.finish()
        world.say(request.responseHeaders.getRawHeaders(b"x-late"))

    answer(world, process)


COOKIES: dict[str, dict[str, Any]] = {
    "plain": {"k": b"foo", "v": b"bar"},
    "text": {"k": "foo", "v": "bär"},
    "all": {
        "k": "foo",
        "v": "bar",
        "expires": "Fri, 31 Dec 9999 23:59:59 GMT",
        "domain": ".example.com",
        "path": "/",
        "max_age": "31536000",
        "comment": "test",
        "secure": True,
        "httpOnly": True,
    },
    "bytes": {"k": b"foo", "v": b"bar", "domain": b".example.com", "path": b"/", "max_age": b"5", "secure": True},
    "lax": {"k": "foo", "v": "bar", "sameSite": "lax"},
    "strict": {"k": "foo", "v": "bar", "sameSite": b"Strict"},
    "none": {"k": "foo", "v": "bar", "sameSite": "none", "secure": True},
    "noneInsecure": {"k": "foo", "v": "bar", "sameSite": "none"},
    "unknownSite": {"k": "foo", "v": "bar", "sameSite": "anything"},
    "emptyValue": {"k": "foo", "v": ""},
}


@scriptsOf(**COOKIES)
def addedCookies(world: World, arguments: dict[str, Any]) -> None:
    def process(request: Any) -> None:
        request.addCookie(b"first", b"1")
        world.attempt(request.addCookie, **arguments)
        world.say(request.cookies)
        request.setHeader(b"content-length", b"0")
        request.finish()

    answer(world, process)


@scriptsOf(bytes=b"http://example.com/a?b", text="/relative")
def redirects(world: World, target: Any) -> None:
    def process(request: Any) -> None:
        request.redirect(target)
        request.finish()

    answer(world, process)


# Conditional requests.

DAY = "Sun, 06 Nov 1994 08:49:37 GMT"
MOMENT = 784111777


@scriptsOf(
    none=[],
    same=[f"If-Modified-Since: {DAY}"],
    older=["If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"],
    newer=["If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT"],
    withLength=[f"If-Modified-Since: {DAY}; length=5"],
    garbage=["If-Modified-Since: yesterday"],
    old=["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"],
    matching=['If-None-Match: "tag"'],
    other=['If-None-Match: "other"'],
    several=['If-None-Match: "other" "tag"'],
    star=["If-None-Match: *"],
    both=['If-None-Match: "tag"', f"If-Modified-Since: {DAY}"],
)
def conditions(world: World, lines: list[str]) -> None:
    for method in ("GET", "HEAD", "POST"):
        each = World(world.kit, world.cut)

        def process(request: Any, world: World = each) -> None:
            one = request.setLastModified(MOMENT - 0.5)
            world.say(bool(one), one is world.http.CACHED, request.lastModified, request.code)
            two = request.setETag(b'"tag"')
            world.say(bool(two), two is world.http.CACHED, request.etag, request.code, request.code_message)
            if not (one or two):
                request.setHeader(b"content-length", b"4")
                request.write(b"body")
            request.finish()

        answer(each, process, *lines, method=method)
        world.say(method, each.trace)


@script
def lastModifiedGrows(world: World) -> None:
    def process(request: Any) -> None:
        for moment in (MOMENT, MOMENT - 10, MOMENT + 10, MOMENT + 10.2):
            world.say(request.setLastModified(moment), request.lastModified)
        request.setHeader(b"content-length", b"0")
        request.finish()

    answer(world, process)


@script
def lastModifiedTwice(world: World) -> None:
    def process(request: Any) -> None:
        request.setLastModified(MOMENT)
        request.setHeader(b"last-modified", b"as the program says")
        request.setHeader(b"content-length", b"0")
        request.finish()

    answer(world, process)


# The end of a request.


@script
def notifications(world: World) -> None:
    def process(request: Any) -> None:
        world.watch(request.notifyFinish(), "first")
        world.watch(request.notifyFinish(), "second")
        world.say("before", len(request.notifications))
        request.setHeader(b"content-length", b"0")
        request.finish()
        world.say("behind", request.notifications)

    answer(world, process)


@scriptsOf(beforeWriting=0, inTheMiddle=1)
def lostConnections(world: World, written: int) -> None:
    def process(request: Any) -> None:
        world.watch(request.notifyFinish(), "first")
        world.watch(request.notifyFinish(), "second")
        if written:
            request.setHeader(b"content-length", b"50")
            request.write(b"part")

    answer(world, process)
    world.lose("ConnectionLost")
    (request,) = world.requests
    world.attempt(request.write, b"more")
    world.attempt(request.finish)
    world.attempt(request.loseConnection)
    world.say(bool(request.finished), request.channel, request.isSecure(), request.getClientAddress().host)
    world.attempt(lambda: world.watch(request.notifyFinish(), "late"))


@script
def lostInTheBody(world: World) -> None:
    class Request(world.http.Request):  # type: ignore[name-defined,misc]
        def connectionLost(self, reason: Any) -> None:
            world.say("request lost", reason.type.__name__)
            super().connectionLost(reason)

        def process(self) -> None:
            world.say("process")

    world.serve(Request)
    world.receive(headOf(["Content-Length: 50"], method="POST") + b"part")
    world.lose("ConnectionLost")


@script
def lostWithNothingAsked(world: World) -> None:
    world.serve(answering(world))
    world.lose()
    world.say("lost")


@script
def lostBetweenRequests(world: World) -> None:
    world.serve(answering(world))
    world.receive(headOf())
    world.lose()
    world.say(bool(world.requests[0]._disconnected) if hasattr(world.requests[0], "_disconnected") else False)


@script
def finishedTwice(world: World) -> None:
    def process(request: Any) -> None:
        world.attempt(request.finish)
        world.attempt(request.finish)
        world.attempt(request.write, b"late")

    answer(world, process)


@script
def closedByTheRequest(world: World) -> None:
    def process(request: Any) -> None:
        request.setHeader(b"content-length", b"50")
        request.write(b"part")
        request.loseConnection()

    answer(world, process)
    world.lose()


@script
def answeredLater(world: World) -> None:
    answer(world, lambda request: world.watch(request.notifyFinish()))
    world.wait(600)
    (request,) = world.requests
    request.write(b"one")
    world.wire()
    request.write(b"two")
    world.wire()
    request.finish()
    world.wire()
    world.receive(headOf(target="/next"))
    world.say(len(world.requests), world.requests[1].path)


# Several requests over one connection.


@script
def pipelined(world: World) -> None:
    world.serve(answering(world))
    world.receive(headOf(target="/1") + postOf(b"body", target="/2") + headOf(target="/3", method="HEAD") + headOf())


@script
def pipelinedAndAnsweredLater(world: World) -> None:
    world.serve(requestOf(world, lambda request: None))
    world.receive(headOf(target="/1") + postOf(b"body", target="/2") + headOf(target="/3"))
    for number in range(3):
        request = world.requests[number]
        world.say(request.uri)
        request.setHeader(b"content-length", b"1")
        request.write(b"%d" % number)
        request.finish()
        world.wire()


@script
def manyOneAfterTheOther(world: World) -> None:
    world.serve(answering(world))
    for number in range(50):
        world.receive(headOf(target=f"/{number}"))
        world.wire()


@scriptsOf(
    close=["Connection: close"],
    capitals=["connection: Close"],
    keepAlive=["Connection: keep-alive"],
    other=["Connection: upgrade"],
)
def persistence(world: World, lines: list[str]) -> None:
    world.serve(answering(world))
    world.receive(headOf(lines) + headOf(target="/next"))
    world.say(b"\r\nConnection: close\r\n" in world.transport.value())


@script
def theOldVersion(world: World) -> None:
    world.serve(answering(world))
    world.receive(headOf(version="HTTP/1.0") + headOf(target="/next", version="HTTP/1.0"))


@script
def theProgramCloses(world: World) -> None:
    """A Connection: close that the program sets itself is only a field for Twisted."""
    world.serve(answering(world, lambda request: request.setHeader(b"connection", b"close"), body=b""))
    world.receive(headOf(version="HTTP/1.0"))


@script
def anEmptyLineBeforeARequest(world: World) -> None:
    world.serve(answering(world))
    world.receive(b"\r\n" + headOf() + b"\r\n" + headOf(target="/next"))


@scriptsOf(
    whole=["Expect: 100-continue", "Content-Length: 3"],
    capitals=["Expect: 100-Continue", "Content-Length: 3"],
)
def expectations(world: World, lines: list[str]) -> None:
    for version in ("HTTP/1.1", "HTTP/1.0"):
        each = World(world.kit, world.cut)
        each.serve(answering(each, reading(each)))
        each.receive(headOf(lines, method="POST", version=version))
        each.wire()
        each.receive(b"abc")
        each.wire()
        world.say(version, each.trace)


# Requests that are no HTTP.

BAD: dict[str, bytes] = {
    "words": b"GET / HTTP/1.1 x\r\n\r\n",
    "oneWord": b"GET\r\n\r\n",
    "noVersion": b"GET /\r\n\r\n",
    "extraSpaces": b"GET  /  HTTP/1.1\r\n\r\n",
    "emptyMethod": b" / HTTP/1.1\r\n\r\n",
    "methodNul": b"G\0T / HTTP/1.1\r\n\r\n",
    "methodHigh": b"G\xffT / HTTP/1.1\r\n\r\n",
    "emptyTarget": b"GET  HTTP/1.1\r\n\r\n",
    "targetNul": b"GET /\0 HTTP/1.1\r\n\r\n",
    "targetTab": b"GET /\t HTTP/1.1\r\n\r\n",
    "unknownVersion": b"GET / HTPP/1.1\r\n\r\n",
    "lowerVersion": b"GET / http/1.1\r\n\r\n",
    "noColon": b"GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n",
    "onlyColon": b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "spaceBeforeColon": b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    "nameWithSpace": b"GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
    "nameWithNul": b"GET / HTTP/1.1\r\nHost: x\r\nX\0: z\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "cr": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "lf": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n",
    "length": postOf(b"").replace(b"Length: 0", b"Length: x"),
    "lengthSigned": postOf(b"").replace(b"Length: 0", b"Length: +3"),
    "lengthNegative": postOf(b"").replace(b"Length: 0", b"Length: -3"),
    "lengthsDiffer": headOf(["Content-Length: 3", "Content-Length: 4"], method="POST") + b"abcd",
    "lengthAndChunked": headOf(["Content-Length: 3", "Transfer-Encoding: chunked"], method="POST") + b"0\r\n\r\n",
    "chunkedAndLength": headOf(["Transfer-Encoding: chunked", "Content-Length: 3"], method="POST") + b"0\r\n\r\n",
    "badSize": headOf(["Transfer-Encoding: chunked"], method="POST") + b"x\r\nabc\r\n",
    "hexSize": headOf(["Transfer-Encoding: chunked"], method="POST") + b"0x3\r\nabc\r\n",
    "negativeSize": headOf(["Transfer-Encoding: chunked"], method="POST") + b"-3\r\nabc\r\n",
    "noEndOfChunk": headOf(["Transfer-Encoding: chunked"], method="POST") + b"3\r\nabcdef\r\n",
}


@scriptsOf(**BAD)
def refused(world: World, data: bytes) -> None:
    """No process(), an answer of the class 400, and a close. Texts and fields differ, and so do some codes."""
    world.serve(answering(world))
    world.receive(data + headOf(target="/never"))
    world.say("version", world.transport.value()[:10], bool(world.transport.disconnecting))
    world.transport.clear()
    world.lose()


# Producers.


class Push:
    def __init__(self, world: World) -> None:
        self.world = world

    def pauseProducing(self) -> None:
        self.world.say("pause")

    def resumeProducing(self) -> None:
        self.world.say("resume")

    def stopProducing(self) -> None:
        self.world.say("stop")


@script
def pushProducers(world: World) -> None:
    def process(request: Any) -> None:
        producer = Push(world)
        request.registerProducer(producer, True)
        world.say(request.producer is producer, request.streamingProducer)
        world.attempt(request.registerProducer, Push(world), True)

    answer(world, process)
    world.protocol.pauseProducing()
    world.protocol.resumeProducing()
    (request,) = world.requests
    request.write(b"some")
    request.unregisterProducer()
    world.say(request.producer)
    world.protocol.pauseProducing()
    world.protocol.resumeProducing()
    request.finish()


@script
def aProducerWhenTheConnectionEnds(world: World) -> None:
    def process(request: Any) -> None:
        request.registerProducer(Push(world), True)
        world.watch(request.notifyFinish())

    answer(world, process)
    world.attempt(world.protocol.stopProducing)
    world.lose()


@script
def anotherProducerLater(world: World) -> None:
    def process(request: Any) -> None:
        for _ in range(2):
            request.registerProducer(Push(world), True)
            world.protocol.pauseProducing()
            world.protocol.resumeProducing()
            request.unregisterProducer()
        request.setHeader(b"content-length", b"0")
        request.finish()

    answer(world, process)


@script
def readingStopsWhileOutputWaits(world: World) -> None:
    world.serve(answering(world))
    world.protocol.pauseProducing()
    world.say(world.transport.producerState)
    world.protocol.resumeProducing()
    world.say(world.transport.producerState)


# Timeouts.


@script
def idleConnectionsTimeOut(world: World) -> None:
    world.serve(answering(world), timeout=60)
    world.wait(59)
    world.say(bool(world.transport.disconnecting))
    world.receive(headOf())
    world.wire()
    world.wait(59)
    world.say(bool(world.transport.disconnecting))
    world.wait(5)
    world.say(bool(world.transport.disconnecting))
    world.lose()
    world.wait(70)
    world.say(bool(world.transport.disconnected), len(world.clock.getDelayedCalls()))


@script
def requestsDoNotTimeOut(world: World) -> None:
    world.serve(requestOf(world, lambda request: None), timeout=60)
    world.receive(headOf())
    world.wait(600)
    world.say(bool(world.transport.disconnecting))
    world.requests[0].finish()
    world.wait(59)
    world.say(bool(world.transport.disconnecting))
    world.wait(5)
    world.say(bool(world.transport.disconnecting))


@script
def timedOutConnectionsAreAborted(world: World) -> None:
    world.serve(answering(world), timeout=60)
    world.wait(59)
    world.say(bool(world.transport.disconnecting))
    world.wait(5)
    world.say(bool(world.transport.disconnecting), bool(world.transport.disconnected))
    world.wait(9)
    world.say(bool(world.transport.disconnected))
    world.wait(9)
    world.say(bool(world.transport.disconnected))
    world.lose("ConnectionAborted")
    world.wait(70)
    world.say(len(world.clock.getDelayedCalls()))


@script
def noTimeout(world: World) -> None:
    world.serve(answering(world), timeout=None)
    world.receive(headOf())
    world.wait(600)
    world.say(bool(world.transport.disconnecting))


# Subclasses that override what a request or a channel does.


@script
def overriddenHooks(world: World) -> None:
    parsed: list[bytes] = []  # in Twisted it is before the length

    class Request(world.http.Request):  # type: ignore[name-defined,misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            world.say("made", self.channel is world.protocol)

        def gotLength(self, length: int | None) -> None:
            world.say("length", length)
            super().gotLength(length)

        def handleContentChunk(self, data: bytes) -> None:
            world.body += data
            super().handleContentChunk(data)

        def parseCookies(self) -> None:
            parsed.append(self.uri)
            super().parseCookies()

        def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
            world.say("received", command, path, version, world.body)
            super().requestReceived(command, path, version)

        def process(self) -> None:
            world.say("process", self.content.read())
            self.setHeader(b"content-length", b"0")
            self.finish()

        def finish(self) -> None:
            world.say("finish")
            super().finish()

        def write(self, data: bytes) -> None:
            world.say("write", data)
            super().write(data)

    world.serve(Request)
    world.receive(postOf(b"abc") + headOf())
    world.say("parsed", len(parsed))


@script
def ownContent(world: World) -> None:
    """A subclass that takes the body itself."""

    class Request(world.http.Request):  # type: ignore[name-defined,misc]
        def handleContentChunk(self, data: bytes) -> None:
            world.body += data

        def process(self) -> None:
            world.say("process", world.body, self.content.read())
            self.setHeader(b"content-length", b"0")
            self.finish()

    world.serve(Request)
    world.receive(postOf(b"abc"))


@script
def factoriesLog(world: World) -> None:
    class Factory(world.http.HTTPFactory):  # type: ignore[name-defined,misc]
        def log(self, request: Any) -> None:
            world.say("log", request.method, request.uri, request.code, request.sentLength)

    world.serve(answering(world), factory=Factory)
    world.receive(headOf(target="/1") + headOf(target="/2", method="HEAD"))


@script
def channelsWithoutAFactory(world: World) -> None:
    channel = world.http.HTTPChannel()
    channel.callLater = world.clock.callLater
    channel.requestFactory = answering(world)
    world.connect(channel)
    world.receive(headOf())


@script
def requestFactories(world: World) -> None:
    """A function takes the place of the class."""
    kind = answering(world)

    def make(*arguments: Any, **named: Any) -> Any:
        world.say("make", len(arguments) >= 1, arguments[0] is world.protocol)
        return kind(*arguments, **named)

    channel = world.http.HTTPChannel()
    channel.callLater = world.clock.callLater
    channel.requestFactory = make
    world.connect(channel)
    world.receive(headOf())


@script
def factoriesBuild(world: World) -> None:
    """A factory's requestFactory is set on the channel by the program."""
    factory = world.http.HTTPFactory(reactor=world.clock)
    channel = factory.buildProtocol(None)
    channel.requestFactory = answering(world)
    world.connect(channel)
    world.protocol = channel
    world.say(channel.timeOut, factory.timeOut)
    world.receive(headOf())


class FakeChannel:
    """A channel of a program's own tests, with the methods that Twisted's requests call."""

    def __init__(self, world: World) -> None:
        self.transport = world.transport
        self.write, self.writeSequence = world.transport.write, world.transport.writeSequence
        self.getPeer, self.getHost = world.transport.getPeer, world.transport.getHost
        self.isSecure = lambda: False
        self.requestDone = lambda request: world.say("done")

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        fields = [b"%b: %b" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        self.write(b"\r\n".join([b"%b %b %b" % (version, code, reason), *fields, b"", b""]))


@script
def requestsOnAFakeChannel(world: World) -> None:
    request = world.http.Request(FakeChannel(world), False)
    request.clientproto, request.method = b"HTTP/1.1", b"GET"
    request.setResponseCode(404)
    request.setHeader(b"x-own", b"1")
    world.watch(request.notifyFinish())
    request.write(b"hello")
    world.wire()
    request.finish()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_asTwisteds(script: Script, cut: str) -> None:
    ours = traceOf(script, OURS, cut)
    assert ours == traceOf(script, THEIRS, cut)
    assert len(ours) > 1


@pytest.mark.parametrize("part", range(PARTS))
def test_randomPrograms(part: int) -> None:
    for seed in range(SEED + part, SEED + PROGRAMS, PARTS):
        ours, theirs = traces(seed)
        assert ours == theirs, f"python -m tests.differential.randomhttp {seed}"


def test_theProgramsReachEverything() -> None:
    """The programs are worth something: each kind of step comes often, and so does each kind of answer."""
    seen: dict[str, int] = {}
    for seed in range(300):
        trace = Program(seed, THEIRS, "whole").run()
        wire = trace[0][1]
        events = {step[0] for said in trace if isinstance(said[0], int) for step in said[1] if isinstance(step, tuple)}
        events |= {mark for mark in ("chunked", "304", "412", "Set-Cookie") if mark.encode() in wire}
        for name in events:
            seen[name] = seen.get(name, 0) + 1
    assert min(seen.get(name, 0) for name in [*DO, "chunked", "304", "412", "Set-Cookie"]) >= 10


def test_aFaultIsFound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted one: every third answer of ours has lost its ETag."""
    original = OURS.http.Request.setETag

    def forgetful(self: Any, etag: bytes) -> Any:
        return None if self.channel.requestCount % 3 == 0 else original(self, etag)

    monkeypatch.setattr(OURS.http.Request, "setETag", forgetful)
    assert any(ours != theirs for ours, theirs in map(traces, range(300)))
