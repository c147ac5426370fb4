"""Access logs: lines in the combined log format as `twisted.web.http` writes it, and the part of a factory that logs.

Values come from the client. They are quoted, and everything but printable ASCII in them is escaped as in Python. So no
client can begin a line, end a quoted value, or send control sequences to the terminal that shows the log.
"""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any

from reactor._logger import getLogger
from reactor._numbers import openFile
from reactor.http.dates import datetimeToLogString

__all__ = ["combinedLogFormatter", "proxiedLogFormatter"]

log = getLogger("reactor.http.access")

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
    """Return the part of the line after the time: the request, its answer, and the client's own words."""
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


class AccessLogging:
    """The access log of an HTTPFactory, with the names of Twisted's.

    With a `logPath`, the factory appends a line for each answered request to that file. It opens the file when it
    starts, and closes it when it stops. Without one, each request is a record of level INFO of the logger
    `reactor.http.access`, if that logger takes such records when the factory starts. The record's text is then what the
    program's formatter returns, or a line without the time. A program may set `logFile` to a
    file of its own, or define `log`. If a line cannot be written, it is lost, a record says so, and requests go on.
    """

    #: The path of the file, or None.
    logPath: str | bytes | None = None
    #: Whether `log` is called with each request.
    logs = False
    reactor: Any = None

    _logFormatter: Callable[[str, Any], str] = staticmethod(combinedLogFormatter)
    _hasFormatter = False
    _logFile: Any = None
    _stamp: tuple[int, str] = (-1, "")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "log" in vars(cls):
            cls.logs = True

    def setLog(self, path: Any, formatter: Callable[[str, Any], str] | None) -> None:
        """Set the file's path, which counts from here, and the function that makes lines; None: none, the usual one."""
        self.logPath = None if path is None else os.path.abspath(os.fspath(path))
        if formatter is not None:
            if not callable(formatter):
                raise TypeError(
                    f"a logFormatter is called with a time and a request, and {formatter!r} cannot be called"
                )
            self._logFormatter = formatter
            self._hasFormatter = True

    def startLog(self) -> None:
        """Open the log: the factory starts. OSError if its file cannot be opened."""
        if self.logPath is not None:
            self.logFile = self._openLogFile(self.logPath)
        self.logs = self.logs or log.isEnabledFor(logging.INFO)

    def stopLog(self) -> None:
        """Close the log: the factory stops."""
        file, self._logFile = self._logFile, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                _tellLost(error)
        self.logs = type(self).logs

    @property
    def logFile(self) -> Any:
        """The file of the log, for text. AttributeError if there is none. A binary file is set as one for text."""
        if self._logFile is None:
            raise AttributeError("no log file present")
        return self._logFile

    @logFile.setter
    def logFile(self, file: Any) -> None:
        if isinstance(file, io.BufferedIOBase):
            file = io.TextIOWrapper(file, "utf-8", write_through=True, newline="\n")
        self._logFile = file
        self.logs = self.logs or file is not None

    def log(self, request: Any) -> None:
        """Write the line of a request. Called when its answer is complete, in the order of the answers."""
        if self._logFile is None and not self._hasFormatter:
            log.info("%s %s", peerOf(request), requestText(request))
            return
        now = time.time() if self.reactor is None else self.reactor.seconds()
        second, stamp = self._stamp
        if second != int(now):
            self._stamp = second, stamp = int(now), datetimeToLogString(int(now))
        line = self._logFormatter(stamp, request)
        if self._logFile is None:
            log.info("%s", line)
            return
        try:
            self._logFile.write(f"{line}\n")
        except (OSError, ValueError) as error:  # the disk is full, or the program has closed its file
            _tellLost(error)

    def _openLogFile(self, path: str | bytes) -> Any:
        """Open the file of the log. A subclass may rotate it, for example."""
        return open(path, "a", 1, encoding="utf-8", newline="\n", opener=openFile)


def _tellLost(error: Exception) -> None:
    log.limited(logging.WARNING, "a line of the access log was lost: %s", error)
