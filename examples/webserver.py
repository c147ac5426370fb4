"""A small HTTP/1.1 server: the head of a request in line mode, its body in raw mode, and back for the next request.

    python examples/webserver.py [PORT]

It knows what pipelining, keep-alive and Content-Length ask for (RFC 9112), and answers every request with what it was
told. It refuses what it does not know (chunked bodies, for one) with an error, and bounds everything that it keeps.
"""

import sys

import reactor
from reactor import LineReceiver, ServerFactory

MOST_HEADERS = 100
LONGEST_BODY = 1_000_000
TEXTS = {
    200: b"OK",
    400: b"Bad Request",
    413: b"Content Too Large",
    501: b"Not Implemented",
    505: b"HTTP Version Not Supported",
}


class HTTPChannel(LineReceiver):
    MAX_LENGTH = 8190

    def connectionMade(self):
        self.expectRequest()

    def expectRequest(self):
        self.requestLine = None
        self.headers = {}
        self.body = []
        self.missing = 0

    def lineReceived(self, line):
        if self.requestLine is None:
            if line:  # an empty line before a request is passed over (RFC 9112, 2.2)
                self.requestLine = line
        elif line:
            self.headerReceived(line)
        else:
            self.headReceived()

    def headerReceived(self, line):
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        isTwice = name in self.headers and name in (b"content-length", b"host")
        if not colon or not name or name != name.strip() or isTwice:
            self.refuse(400)
        elif len(self.headers) >= MOST_HEADERS:
            self.refuse(413)
        else:
            self.headers[name] = value

    def headReceived(self):
        words = self.requestLine.split(b" ")
        length = self.headers.get(b"content-length", b"0")
        if len(words) != 3 or b"host" not in self.headers or not length.isdigit():
            self.refuse(400)
        elif words[2] != b"HTTP/1.1":
            self.refuse(505)
        elif b"transfer-encoding" in self.headers:
            self.refuse(501)
        elif len(length) > 9 or int(length) > LONGEST_BODY:
            self.refuse(413)
        elif int(length):
            self.missing = int(length)
            self.setRawMode()
        else:
            self.requestReceived()

    def rawDataReceived(self, data):
        piece, rest = data[: self.missing], data[self.missing :]
        self.body.append(piece)
        self.missing -= len(piece)
        if not self.missing:
            self.requestReceived()
            if not self.transport.disconnecting:
                self.setLineMode(rest)

    def requestReceived(self):
        method, target, _version = self.requestLine.split(b" ")
        body = b"".join(self.body)
        closing = self.headers.get(b"connection", b"").lower() == b"close"
        self.respond(200, b"%b %b, %d bytes: %b\n" % (method, target, len(body), body), closing)
        self.expectRequest()

    def lineLengthExceeded(self, line):
        self.refuse(400)

    def refuse(self, code):
        self.respond(code, TEXTS[code] + b"\n", closing=True)

    def respond(self, code, body, closing):
        head = [b"HTTP/1.1 %d %b" % (code, TEXTS[code]), b"Content-Length: %d" % len(body)]
        if closing:
            head.append(b"Connection: close")
        self.transport.write(b"\r\n".join([*head, b"", body]))
        if closing:
            self.transport.loseConnection()


factory = ServerFactory.forProtocol(HTTPChannel)
port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
