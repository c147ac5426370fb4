"""Quarrels with other parsers that are no fault of ours, each with its reason and the message that shows it."""

from __future__ import annotations

from tests.battery.http.cases import CRLF, HOST, chunked, get, message, post
from tests.battery.http.quarrel import Explained

OLD = message(b"GET / HTTP/1.0", HOST, b"Connection: keep-alive")
UPGRADE = get(b"Connection: Upgrade", b"Upgrade: websocket")

EXPLAINED = (
    Explained(
        "RFC 9112, 2.2: an empty line before a request is ignored.",
        "h11",
        "no request line received",
        rb"\r\n",
        CRLF + get(),
    ),
    Explained(
        "They take a bare LF. For us the line goes on, and is refused at its end.",
        "h11|llhttp",
        "reads more, and we are within",
        rb"[^\r]\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    Explained(
        "They close after each request of HTTP/1.0.",
        "h11|twisted",
        "reads less, and is closed",
        rb"HTTP/1\.0",
        OLD + get(),
    ),
    Explained(
        "RFC 9110, 9.1: a method is any token. It knows a list of them.",
        "llhttp",
        "Invalid method|Expected space after method",
        rb"",
        message(b"FOO / HTTP/1.1", HOST),
    ),
    Explained(
        "RFC 9110, 2.5: a higher minor version is read as the highest that is known.",
        "llhttp|twisted",
        "Invalid HTTP version|refuses: refused",
        rb"HTTP/1\.[2-9]",
        message(b"GET / HTTP/1.2", HOST),
    ),
    Explained(
        "They leave HTTP where a client offers an upgrade. It is the server that accepts one, and ours does not.",
        "llhttp|aiohttp",
        "reads another body|reads less, and is closed|reads more, and we are within",
        rb"(?i)upgrade",
        UPGRADE + get(),
    ),
    Explained(
        "Proxy-Connection is no field of HTTP.",
        "llhttp",
        "reads less, and is closed",
        rb"(?i)proxy-connection",
        get(b"Proxy-Connection: close") + get(),
    ),
    Explained(
        "RFC 3986, 3.1: a scheme may have digits and signs.",
        "llhttp",
        "Unexpected char in url schema",
        rb"[A-Za-z][0-9+.-]+[0-9A-Za-z+.-]*://",
        message(b"GET t1://a HTTP/1.1", HOST),
    ),
    Explained(
        "RFC 9112, 5.1: white space may follow a value.",
        "llhttp",
        "invalid `Transfer-Encoding`",
        rb"(?i)chunked[ \t]+\r\n",
        post(b"Transfer-Encoding: chunked\t", body=b"0\r\n\r\n"),
    ),
    Explained(
        "RFC 9112, 7.1.1: a recipient must take white space around an extension.",
        "h11|llhttp|aiohttp|twisted",
        "chunk extensions|chunk size|illegal chunk header|TransferEncodingError|refuses: refused",
        rb"\n[0-9A-Fa-f]+(?:[ \t]+;|[^\r]*(?:[ \t];|;[ \t]|=[ \t]|[ \t]=))",
        chunked(b"0 ;a\r\n\r\n"),
    ),
    Explained(
        "RFC 9110, 5.6.4: a quoted string may have a backslash.",
        "twisted",
        "refuses: refused",
        rb';[^\r]*"[^\r]*\\',
        chunked(b'0;a="\\\\"\r\n\r\n'),
    ),
    Explained(
        "It puts methods into upper case. RFC 9110, 9.1: their case counts.",
        "aiohttp",
        "reads another method",
        rb"[a-z]",
        message(b"get / HTTP/1.1", HOST),
    ),
    Explained(
        "It refuses a field of a draft of the WebSocket protocol.",
        "aiohttp",
        "Sec-WebSocket-Key1",
        rb"",
        get(b"Sec-WebSocket-Key1: x"),
    ),
    Explained(
        "RFC 3986, 3.2.3: a port is digits; nobody connects to it here.",
        "aiohttp",
        "InvalidURLError",
        rb":[0-9]{5}",
        message(b"GET http://a:65536/ HTTP/1.1", HOST),
    ),
    Explained(
        "RFC 9110, 7.6.1: commas separate the options of Connection. It takes spaces, too.",
        "twisted",
        "reads less, and is closed",
        rb"(?i)connection:[^\r]* close",
        get(b"Connection: x close") + get(),
    ),
)

# Quarrels about answers.
OF_ANSWERS = (
    Explained(
        "RFC 9112, 5.2: a client takes a value that goes on in a second line, with spaces between.",
        "llhttp",
        "refused: (?:Unexpected whitespace after header value|Invalid header value char)",
        rb"\r\n[ \t]",
        b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    ),
    Explained(
        "RFC 9112, 9.3: HTTP/1.0 persists if both sides say keep-alive.",
        "h11",
        "does not persist",
        rb"HTTP/1\.0",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ),
    Explained(
        "RFC 9110, 2.5: a higher minor version is read as the highest that is known.",
        "llhttp",
        "refused: Invalid HTTP version",
        rb"HTTP/1\.[2-9]",
        b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
)
