"""Lines of an access log: the combined log format, in the form of `twisted.web.http`.

Values come from the client. They are quoted, and everything but printable ASCII in them is escaped as in Python. So no
client can begin a line, end a quoted value, or send control sequences to the terminal that shows the log.
"""

from __future__ import annotations

import re
from typing import Any

from reactor import _overwritten as _overwritten

__all__ = ["combinedLogFormatter", "proxiedLogFormatter"]

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")
_SHORT = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def combinedLogFormatter(timestamp: str, request: Any) -> str:
    """Return the line for a request that has been answered, without a line end.

    It holds the client's address, `-`, the user, the `timestamp` in brackets, and the request line. The code follows,
    then the number of bytes of the body, the Referer and the User-Agent. A missing value is `-`. The user is the name
    of Basic authentication that the client gave, whether the program accepted it or not.
    """
    return f"{quoted(peerOf(request))} - {_userOf(request)} {timestamp} {requestText(request)}"


def proxiedLogFormatter(timestamp: str, request: Any) -> str:
    """Do the same as `combinedLogFormatter`, with the first address of X-Forwarded-For as the client's.

    Use it only behind a proxy that sets this header: a client can send any text in it.
    """
    values = request.requestHeaders.getRawHeaders(b"x-forwarded-for") or [b"-"]
    host = bytes(values[0]).split(b",")[0].strip()
    first = quoted(host) if host else '""'
    return f"{first} - {_userOf(request)} {timestamp} {requestText(request)}"


def peerOf(request: Any) -> str:
    """Return the client's address as text; `-` if it has none, as over a UNIX socket."""
    return str(getattr(request.getClientAddress(), "host", "-"))


def requestText(request: Any) -> str:
    """Return the part of the line behind the time: the request, its answer, and the client's own words."""
    line = b" ".join(_bytesOf(part) for part in (request.method, request.uri, request.clientproto))
    agent, referer = request.getHeader(b"user-agent"), request.getHeader(b"referer")
    return f"{quoted(line)} {request.code} {request.sentLength or '-'} {quoted(referer)} {quoted(agent)}"


def _userOf(request: Any) -> str:
    """Return the user's name; quoted if it is more than one plain word."""
    name = _bytesOf(request.getUser() or b"")
    if not name:
        return "-"
    return name.decode() if re.fullmatch(rb"[\w.@+-]+", name) and name != b"-" else quoted(name)


def _bytesOf(value: str | bytes) -> bytes:
    return value.encode("utf-8", "backslashreplace") if isinstance(value, str) else bytes(value)


def quoted(value: str | bytes | None) -> str:
    """Return a value between quotation marks, `"-"` if there is none."""
    text = _bytesOf(value or b"-").decode("latin-1")
    if not _PLAIN.fullmatch(text):
        text = _SPECIAL.sub(_escape, text)
    return f'"{text}"'


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\x{ord(found[0]):02x}"
