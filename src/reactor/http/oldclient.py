"""HTTPClient: one request of HTTP/1.0 over one connection, as a LineReceiver; Twisted's class of that name.

New programs use `request` and `Client` of this package.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from reactor._arguments import connected
from reactor._beside import beside, failTransport
from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor.error import FramingBroken
from reactor.failure import Failure
from reactor.http.grammar import checkMethod, checkName, checkTarget, checkValue
from reactor.linereceiver import LineReceiver
from reactor.protocol import connectionDone

log = getLogger("reactor.http")


class HTTPClient(LineReceiver):
    """Sends a request of HTTP/1.0, and tells of its answer as it comes.

    A subclass calls sendCommand, sendHeader and endHeaders in connectionMade, and overrides some of handleStatus,
    handleHeader, handleEndHeaders and handleResponse. A server with several names needs a `Host` header.

    - `length`: the bytes of the body that are still to come, or None if the end of the connection ends the body.
    - `firstLine`: whether the next line is a status line. A program that sends another request over the connection sets
      it, and sets `length` to None.
    - `maxHeaders` and `totalHeadersSize`: the most fields and bytes of a head.

    An answer that breaks these limits, or is no HTTP, closes the connection, and connectionLost gets a FramingBroken.
    Coroutines of the handlers run beside what follows. Their failure ends the connection.
    """

    length: int | None = None
    firstLine: bool = True
    maxHeaders: int = 100
    totalHeadersSize: int = 16384

    _header = b""
    _headerCount = 0
    _headSize = 0
    _isOver = False
    _body: BytesIO | None = None

    def sendCommand(self, command: bytes | str, path: bytes | str) -> None:
        """Send the request line: the method `command`, and the target `path`.

        ValueError for a method that is no token, or a target that is not visible ASCII.
        """
        line = b"%b %b HTTP/1.0\r\n" % (checkMethod(command), checkTarget(path))
        connected(self, "sendCommand").write(line)

    def sendHeader(self, name: bytes | str, value: Any) -> None:
        """Send a field. A `value` that is neither bytes nor str is sent as its str().

        ValueError for a name that is no token, or a value with a line break or another control character.
        """
        text = value if isinstance(value, bytes | str) else str(value)
        line = b"%b: %b\r\n" % (checkName(name), checkValue(text))
        connected(self, "sendHeader").write(line)

    def endHeaders(self) -> None:
        """Send the empty line after the fields. A body may follow, written to `transport`."""
        connected(self, "endHeaders").write(b"\r\n")

    def lineReceived(self, line: bytes) -> Any:
        """Take a line of the head."""
        if self.firstLine:
            self._beginResponse(line)
            return
        if self._isOver:
            return
        self._headSize += len(line) + 2
        if self._headSize > self.totalHeadersSize:
            self._refuse(f"a head of more than {self.totalHeadersSize} bytes")
        elif not line:
            if self._endHeader():
                self._endHead()
        elif line[0] in b"\t ":
            # Twisted keeps the space, and nothing else, between the two parts of a folded line.
            self._header += line
        elif self._endHeader():
            self._header = line
            self._headerCount += 1
            if self._headerCount > self.maxHeaders:
                self._refuse(f"a head of more than {self.maxHeaders} fields")

    def _beginResponse(self, line: bytes) -> None:
        self.firstLine = self._isOver = False
        self._header, self._headerCount, self._headSize = b"", 0, len(line) + 2
        words = line.split(None, 2)
        if len(words) < 2:
            self._refuse("its first line is no status line")
            return
        version, status, message = (*words, b"")[:3]
        self._tell(self.handleStatus(version, status, message))

    def _endHeader(self) -> bool:
        """Tell of the field whose lines have come, if there is one; return whether the answer is good so far."""
        header, self._header = self._header, b""
        if header:
            self.extractHeader(header)
        return not self._isOver

    def extractHeader(self, header: bytes) -> None:
        """Take a whole field, `name: value`: call handleHeader, and note the body's length.

        A length that is no number, or is another than that of an earlier field, closes the connection. So does a
        transfer coding, which an answer to HTTP/1.0 cannot have (RFC 9112, 6.1).
        """
        name, colon, value = header.partition(b":")
        if not colon:
            self._refuse("a line of its head has no colon")
            return
        value = value.lstrip()
        self._tell(self.handleHeader(name, value))
        match name.lower():
            case b"content-length":
                digits = value.rstrip(b" \t")
                # A length of more digits is beyond any body, and slow to read.
                if not digits.isdigit() or len(digits) > 18 or self.length not in (None, int(digits)):
                    self._refuse("it has no length, or two")
                else:
                    self.length = int(digits)
            case b"transfer-encoding":
                self._refuse("it has a transfer coding, and the request was of HTTP/1.0")

    def _endHead(self) -> None:
        self._body = BytesIO()
        self._tell(self.handleEndHeaders())
        if self.length == 0:
            self._endResponse()
        elif not self._isOver:
            self.setRawMode()

    def _endResponse(self) -> None:
        self._isOver = True
        self._tell(self.handleResponseEnd())

    def rawDataReceived(self, data: bytes) -> Any:
        """Take a piece of the body."""
        rest = b""
        if self.length is not None:
            data, rest = data[: self.length], data[self.length :]
            self.length -= len(data)
        self._tell(self.handleResponsePart(data))
        if self.length == 0:
            self._endResponse()
            # The handler may have sent the next request, whose answer would be in lines as well.
            self.setLineMode(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """The end of the connection ends an answer without a length, and cuts one off that has one."""
        self._tell(self.handleResponseEnd())

    def handleStatus(self, version: bytes, status: bytes, message: bytes) -> Any:
        """Called with the parts of the status line: for example b"HTTP/1.0", b"200" and b"OK"."""

    def handleHeader(self, key: bytes, val: bytes) -> Any:
        """Called with the name and the value of each field, as the server wrote them."""

    def handleEndHeaders(self) -> Any:
        """Called at the end of the head."""

    def handleResponsePart(self, data: bytes) -> Any:
        """Called with each piece of the body. This keeps the pieces for handleResponse, in memory, without a bound."""
        if self._body is not None:
            self._body.write(data)

    def handleResponseEnd(self) -> Any:
        """Called at the end of the answer, and of the connection. This calls handleResponse, once for an answer."""
        body, self._body = self._body, None
        if body is not None:
            self._tell(self.handleResponse(body.getvalue()))

    def handleResponse(self, response: bytes) -> Any:
        """Called with the whole body. If the connection ended in the middle of it, `length` is not 0, and not None."""

    def _refuse(self, why: str) -> None:
        self._isOver = True
        closeFor(connected(self, "lineReceived"), FramingBroken(f"the answer is no HTTP: {why}"))

    def _tell(self, result: object) -> None:
        if result is not None:
            beside(result, self._failed)

    def _failed(self, failure: Failure) -> None:
        failTransport(self, failure, log)
