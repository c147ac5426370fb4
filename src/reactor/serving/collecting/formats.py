"""The formats of collect's lines: as they came, with a prefix, or as JSON.

A format is a function of the lines of one client, of the client's address and the listener's name, both as text. It
returns the lines for the file. The time is that of the read.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import time
from collections.abc import Callable
from typing import Any

from reactor._logger import escaped
from reactor.address import UNIXAddress

Format = Callable[[list[bytes], str, str], list[bytes]]

TEXT, JSON = FORMATS = ("text", "json")


def rfc3339(seconds: float) -> str:
    """Return a time, in seconds since 1970, as in RFC 3339: in UTC, with six digits behind the second's point."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def addressText(address: Any) -> str:
    """Return an address as one word: "192.0.2.1:514", "[2001:db8::1]:514", "unix:/run/app", "unix:" or "stdio".

    Unprintable characters and spaces of a UNIX socket's name are written as escapes.
    """
    if isinstance(address, UNIXAddress):
        address = address.name
    if address is None or isinstance(address, str | bytes):
        return f"unix:{_word(os.fsdecode(address or b''))}"
    if isinstance(address, tuple):
        host, port = str(address[0]), address[1]
    else:
        host, port = str(getattr(address, "host", "")), getattr(address, "port", None)
    if port is None:
        return "stdio" if type(address).__name__ == "PipeAddress" else _word(str(address))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _word(text: str) -> str:
    return escaped(text).replace(" ", r"\x20")


def asText(lines: list[bytes], peer: str, listener: str) -> list[bytes]:
    """Return the lines as they came."""
    return lines


def prefixed(now: Callable[[], float] = time.time) -> Format:
    """Return the format with the time and the client's address before each line, a space behind each."""

    def withPrefix(lines: list[bytes], peer: str, listener: str) -> list[bytes]:
        prefix = f"{rfc3339(now())} {peer} ".encode()
        return [prefix + line for line in lines]

    return withPrefix


def asJSON(now: Callable[[], float] = time.time) -> Format:
    """Return the format of JSON (RFC 8259), an object a line: "time", "peer", "listener", and "line" or "base64".

    "line" is the text of a line that is UTF-8, "base64" has the bytes of any other (RFC 4648), so none is changed. An
    object consists of printable ASCII characters.
    """
    encode = json.JSONEncoder().encode

    def withJSON(lines: list[bytes], peer: str, listener: str) -> list[bytes]:
        head = encode({"time": rfc3339(now()), "peer": peer, "listener": listener})[:-1]
        made = []
        for line in lines:
            try:
                value = f'"line": {encode(line.decode())}'
            except UnicodeDecodeError:
                value = f'"base64": "{base64.b64encode(line).decode()}"'
            made.append(f"{head}, {value}}}".encode())
        return made

    return withJSON
