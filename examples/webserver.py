"""A small HTTP server: the head of a request in line mode, its body in raw mode, and back for the next request.

    python examples/webserver.py [PORT]

It supports pipelining, keep-alive, HEAD, Expect and Content-Length (RFC 9110, RFC 9112). It answers every request with
the request's own text. After the answer to an HTTP/1.0 request it closes the connection. It answers unknown features,
such as chunked bodies, with an error. It does the same with requests that another server on the way could read in
another way. It bounds everything that it keeps.
"""

import re
import sys

import reactor
from reactor import LineReceiver, ServerFactory

MOST_HEADERS = 100
LONGEST_BODY = 1_000_000
TEXTS = {
    200: b"OK",
    400: b"Bad Request",
    413: b"Content Too Large",
    417: b"Expectation Failed",
    501: b"Not Implemented",
    505: b"HTTP Version Not Supported",
}

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) (HTTP/[0-9]\.[0-9])" % TOKEN)  # RFC 9112, 3
HEADER = re.compile(rb"(%b):([\t -~\x80-\xff]*)" % TOKEN)  # RFC 9110, 5.5
HOST = re.compile(rb"(\[[0-9A-Za-z:.]+\]|[0-9A-Za-z._~!$&'()*+;=%-]*)(:[0-9]*)?")  # RFC 9110, 7.2
ONCE = (b"content-length", b"host")


class HTTPChannel(LineReceiver):
    MAX_LENGTH = 8190

    def connectionMade(self) -> None:
        self.expectRequest()

    def expectRequest(self) -> None:
        self.method = self.target = self.version = b""
        self.headers: dict[bytes, bytes] = {}
        self.headerCount = 0
        self.body: list[bytes] = []
        self.missing = 0

    def lineReceived(self, line: bytes) -> None:
        if not self.method:
            if line:  # skip an empty line before a request (RFC 9112, 2.2)
                self.requestLineReceived(line)
        elif line:
            self.headerReceived(line)
        else:
            self.headReceived()

    def requestLineReceived(self, line: bytes) -> None:
        words = REQUEST_LINE.fullmatch(line)
        if words is None:
            self.refuse(400)
        else:
            self.method, self.target, self.version = words.groups()

    def headerReceived(self, line: bytes) -> None:
        header = HEADER.fullmatch(line)
        self.headerCount += 1
        if header is None:
            self.refuse(400)
            return
        name, value = header[1].lower(), header[2].strip(b" \t")
        if name in self.headers and name in ONCE:
            self.refuse(400)
        elif self.headerCount > MOST_HEADERS:
            self.refuse(413)
        elif name in self.headers:
            self.headers[name] += b", " + value
        else:
            self.headers[name] = value

    def headReceived(self) -> None:
        length = self.headers.get(b"content-length", b"0")
        expected = self.wordsOf(b"expect")
        isOld = self.version == b"HTTP/1.0"
        host = self.headers.get(b"host", b"" if isOld else b"?")  # RFC 9112, 3.2: only HTTP/1.1 needs one
        if not HOST.fullmatch(host) or not length.isdigit() or (isOld and b"transfer-encoding" in self.headers):
            self.refuse(400)  # the last of these is a fault too (RFC 9112, 6.1)
        elif not isOld and self.version != b"HTTP/1.1":
            self.refuse(505)
        elif self.method == b"CONNECT" or b"transfer-encoding" in self.headers:
            self.refuse(501)  # CONNECT is for proxies (RFC 9110, 9.3.6)
        elif len(length) > 9 or int(length) > LONGEST_BODY:
            self.refuse(413)
        elif not isOld and expected - {b"100-continue"}:
            self.refuse(417)
        elif int(length):
            self.missing = int(length)
            if expected and not isOld:  # RFC 9110, 10.1.1
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.setRawMode()
        else:
            self.requestReceived()

    def wordsOf(self, name: bytes) -> set[bytes]:
        words = self.headers.get(name, b"").lower().split(b",")
        return {word.strip(b" \t") for word in words} - {b""}

    def rawDataReceived(self, data: bytes) -> None:
        piece, rest = data[: self.missing], data[self.missing :]
        self.body.append(piece)
        self.missing -= len(piece)
        if not self.missing:
            self.requestReceived()
            if not self.transport.disconnecting:
                self.setLineMode(rest)

    def requestReceived(self) -> None:
        body = b"".join(self.body)
        text = b"%b %b, %d bytes: %b\n" % (self.method, self.target, len(body), body)
        closing = self.version == b"HTTP/1.0" or b"close" in self.wordsOf(b"connection")
        self.respond(200, text, closing)
        self.expectRequest()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(400)

    def refuse(self, code: int) -> None:
        self.respond(code, TEXTS[code] + b"\n", closing=True)

    def respond(self, code: int, body: bytes, closing: bool) -> None:
        head = [b"HTTP/1.1 %d %b" % (code, TEXTS[code]), b"Content-Length: %d" % len(body)]
        if closing:
            head.append(b"Connection: close")
        if self.method == b"HEAD":  # its answer announces a body that is not sent (RFC 9110, 9.3.2)
            body = b""
        self.transport.write(b"\r\n".join([*head, b"", body]))
        if closing:
            self.transport.loseConnection()


factory = ServerFactory.forProtocol(HTTPChannel)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
