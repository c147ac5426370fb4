"""Protocols whose messages are strings of bytes with their length in front.

    IntNStringReceiver      binary length, then the string; Int8-, Int16- and Int32StringReceiver set its width
    NetstringReceiver       b"5:hello,"      cr.yp.to/proto/netstrings.txt
    OctetCountedReceiver    b"5 hello"       RFC 6587, section 3.4.1: syslog over TCP

They share one buffer, which takes linear time however the reads are cut. A chunk that meets an empty buffer is taken as
is. The rest of a chunk is copied once to join the next one. A string in many small pieces grows in a bytearray. A
string leaves the buffer before it is delivered. So it is delivered once, whatever the callback raises, feeds or
changes.
"""

from __future__ import annotations

import logging
from struct import calcsize, pack, unpack_from
from typing import TYPE_CHECKING, Any, Literal

from reactor._arguments import checkConnected, connected
from reactor._beside import beside, failTransport, refused
from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor._views import piece
from reactor.error import FramingBroken, LineLengthExceeded
from reactor.linecore import asBytes
from reactor.protocol import Protocol
from reactor.protocol.pauseable import PauseableMixin

if TYPE_CHECKING:
    from reactor.interfaces import BytesLike

__all__ = [
    "FramingError",
    "IncompleteNetstring",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "NetstringParseError",
    "NetstringReceiver",
    "OctetCountError",
    "OctetCountedReceiver",
    "StatefulStringProtocol",
    "StringTooLongError",
]

log = getLogger("reactor.stringreceivers")


class FramingError(ValueError):
    """The received bytes are not framed correctly, or the string is longer than MAX_LENGTH.

    In the second case `tooLong` is true, and `length` is the announced length if all of it has come.
    """

    tooLong = False

    def __init__(self, message: str, length: int | None = None) -> None:
        super().__init__(message)
        self.length = length


class NetstringParseError(FramingError):
    """The received bytes are no netstring, or one longer than MAX_LENGTH."""


class OctetCountError(FramingError):
    """The received bytes are no octet-counted message, or one longer than MAX_LENGTH."""


class IncompleteNetstring(Exception):
    """A netstring lacks its end. Nothing here raises it: it is Twisted's name, for programs that import it."""


class StringTooLongError(AssertionError):
    """A string to send is longer than its length prefix can express."""


class StringReceiver(PauseableMixin, Protocol):
    """The common base of the receivers: the buffer, and the loop that delivers strings.

    The loop ignores `transport.disconnecting`: it delivers strings that have arrived even after loseConnection().
    """

    MAX_LENGTH = 99999

    # The waiting bytes are `_buffer[_offset:]`. Class attributes, as the __init__ of a subclass may not call ours.
    _buffer: bytes | bytearray = b""
    _offset = 0
    _isDelivering = False

    def dataReceived(self, data: BytesLike) -> None:
        """Take `data` and deliver all strings that are complete. The transport calls this.

        Inside a callback, it stores `data` behind the waiting bytes, and returns. An exception of a callback passes
        through. The following bytes are kept, and delivered with the next data.
        """
        self._store(asBytes(data))
        if self._isDelivering:
            return
        self._isDelivering = True
        try:
            while not self.paused:
                string = self._takeString()
                if string is None:
                    break
                result = self.stringReceived(string)
                if result is not None:
                    self._beside(result)
        finally:
            self._isDelivering = False
            self._trim()

    def _beside(self, result: object) -> None:
        """Run a coroutine that a callback has returned beside the next events; its failure ends the connection."""
        beside(result, lambda failure: failTransport(self, failure, log))

    def stringReceived(self, string: bytes) -> Any:
        """Called with each string, without its framing; override it."""
        raise NotImplementedError(f"{type(self).__name__} defines no stringReceived")

    def takeUndelivered(self) -> bytes:
        """Return the received, undelivered bytes, and forget them. startTLS calls it: such bytes were plain."""
        taken = piece(self._buffer, self._offset)
        self._buffer, self._offset = b"", 0
        return taken

    def _takeString(self) -> bytes | None:
        """Take the next string, if all of it is here, and handle wrong framing."""
        raise NotImplementedError

    def _store(self, data: bytes) -> None:
        waiting = len(self._buffer) - self._offset
        if not waiting:
            self._buffer = data
        elif isinstance(self._buffer, bytes) and waiting <= len(data):
            # This copies no more bytes than the new ones, and slices of bytes are cheaper than those of a bytearray.
            self._buffer = self._buffer[self._offset :] + data
        else:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(memoryview(self._buffer)[self._offset :])  # of bytes, which never change
            else:
                del self._buffer[: self._offset]
            self._buffer += data
        self._offset = 0

    def _trim(self) -> None:
        # An idle connection holds no delivered chunk. This copies at most as much as it drops.
        if self._offset * 2 >= len(self._buffer):
            self._buffer = piece(self._buffer, self._offset)
            self._offset = 0

    def _slice(self, start: int, end: int) -> bytes:
        if isinstance(self._buffer, bytes):
            return self._buffer[start:end]
        return piece(self._buffer, start, end)


class IntNStringReceiver(StringReceiver):
    """Strings behind a binary length. Subclasses set `structFormat`, for one integer, and `prefixLength`, in bytes."""

    structFormat: str
    prefixLength: int

    _refusedLength: int | None = None

    @property
    def recvd(self) -> bytes:
        """The received, undelivered bytes. An assignment replaces them, inside a callback too.

        An empty str counts as empty bytes, because programs for old versions of Twisted write `recvd = ""`.
        """
        return piece(self._buffer, self._offset)

    @recvd.setter
    def recvd(self, data: BytesLike | Literal[""]) -> None:
        self._replace(b"" if data == "" else asBytes(data))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Remove `recvd = ""` of a class body, which would hide the property.

        Programs for old versions of Twisted set the first content so.
        """
        super().__init_subclass__(**kwargs)
        hiding = cls.__dict__.get("recvd")
        if isinstance(hiding, str | bytes | bytearray) and not hiding:
            del cls.recvd

    def _replace(self, data: bytes) -> None:
        self._buffer, self._offset = data, 0

    def lengthLimitExceeded(self, length: int) -> Any:
        """Called when the announced `length` is more than MAX_LENGTH; by default it closes the connection.

        If an override leaves MAX_LENGTH and `recvd` unchanged, nothing more is delivered or kept, and each further read
        calls it again.
        """
        reason = LineLengthExceeded(f"a string of {length} bytes, and {self.MAX_LENGTH} are allowed")
        closeFor(connected(self, "lengthLimitExceeded"), reason)

    def sendString(self, string: BytesLike) -> None:
        """Send `string` behind its length, in one write. StringTooLongError if the prefix cannot hold the length."""
        data = asBytes(string)
        if len(data) >= 1 << (8 * self.prefixLength):
            raise StringTooLongError(f"a length prefix of {self.prefixLength} bytes cannot hold {len(data)}")
        try:
            self.transport.write(pack(self.structFormat, len(data)) + data)
        except AttributeError as error:
            checkConnected(self, "sendString", error)
            raise

    def _takeString(self) -> bytes | None:
        if self._refusedLength is not None:
            self._replace(b"")
            self._beside(self.lengthLimitExceeded(self._refusedLength))
            return None
        buffer = self._buffer
        start = self._offset + self.prefixLength
        if len(buffer) < start:
            return None
        length: int = unpack_from(self.structFormat, buffer, self._offset)[0]
        if not 0 <= length <= self.MAX_LENGTH:
            self._refuse(length)
            return None
        end = start + length
        if len(buffer) < end:
            return None
        self._offset = end
        return buffer[start:end] if type(buffer) is bytes else self._slice(start, end)

    def _refuse(self, length: int) -> None:
        before = self._buffer
        self._beside(self.lengthLimitExceeded(length))
        if self._buffer is before and not 0 <= length <= self.MAX_LENGTH:
            self._refusedLength = length
            self._replace(b"")


class Int8StringReceiver(IntNStringReceiver):
    """Strings of up to 255 bytes behind one byte of length."""

    structFormat = "!B"
    prefixLength = calcsize(structFormat)


class Int16StringReceiver(IntNStringReceiver):
    """Strings of up to 65,535 bytes behind two bytes of length, network byte order."""

    structFormat = "!H"
    prefixLength = calcsize(structFormat)


class Int32StringReceiver(IntNStringReceiver):
    """Strings of up to MAX_LENGTH bytes behind four bytes of length, network byte order."""

    structFormat = "!I"
    prefixLength = calcsize(structFormat)


class DecimalStringReceiver(StringReceiver):
    """The common base of netstrings and octet counting: a decimal length, a separator, the string, a trailer."""

    _separator: bytes
    _trailer: bytes
    _smallestLength: int
    _errorType: type[FramingError]

    _announcedLength: int | None = None
    _isBroken = False

    def takeUndelivered(self) -> bytes:
        """See StringReceiver. The result includes a length that was read."""
        length, self._announcedLength = self._announcedLength, None
        announced = b"" if length is None else b"%d" % length + self._separator
        return announced + super().takeUndelivered()

    def _takeString(self) -> bytes | None:
        try:
            if not self._isBroken:
                return self._parse()
        except FramingError as error:
            # From here on the place of the next string is unknown, so nothing more is read.
            self._isBroken = True
            self._framingFailed(error)
        self._buffer, self._offset = b"", 0
        return None

    def _parse(self) -> bytes | None:
        length = self._announcedLength
        if length is None:
            length = self._takeLength()
            if length is None:
                return None
        start = self._offset
        end = start + length
        behind = end + len(self._trailer)
        if len(self._buffer) < behind:
            self._announcedLength = length
            return None
        if self._slice(end, behind) != self._trailer:
            raise self._errorType(f"it does not end with {self._trailer!r}")
        self._announcedLength = None
        self._offset = behind
        return self._slice(start, end)

    def _takeLength(self) -> int | None:
        # The length is also checked while it arrives, so the first wrong byte is an error at once.
        start, longest = self._offset, len(str(self.MAX_LENGTH)) + 1
        end = self._buffer.find(self._separator, start, start + longest)
        isComplete = end >= 0
        digits = self._slice(start, end if isComplete else start + longest)
        if not digits and not isComplete:
            return None
        if not digits.isdigit():
            raise self._errorType("it does not begin with a length")
        length = int(digits)
        if length < self._smallestLength or (digits.startswith(b"0") and digits != b"0"):
            raise self._errorType("its length begins with 0")
        if length > self.MAX_LENGTH:
            error = self._errorType(f"it is longer than {self.MAX_LENGTH} bytes", length if isComplete else None)
            error.tooLong = True
            raise error
        if not isComplete:
            return None
        self._offset = end + 1
        return length

    def _framingFailed(self, error: FramingError) -> None:
        raise NotImplementedError

    def _closeBecauseOf(self, what: str, error: FramingError) -> None:
        log.limited(logging.INFO, "Closing a connection: %s", what)
        kind = LineLengthExceeded if error.tooLong else FramingBroken
        closeFor(connected(self, "dataReceived"), kind(str(error)), logging.DEBUG)


class NetstringReceiver(DecimalStringReceiver):
    """Netstrings: b"5:hello,". The first wrong byte, or a length above MAX_LENGTH, closes the connection.

    `brokenPeer` is 1 from then on, and all further bytes are dropped.
    """

    brokenPeer = 0

    _separator = b":"
    _trailer = b","
    _smallestLength = 0
    _errorType = NetstringParseError

    def makeConnection(self, transport: Any) -> Any:
        """Start with an empty buffer, as a receiver may be connected a second time. Do not override it."""
        self._buffer, self._offset = b"", 0
        self._announcedLength, self._isBroken, self.brokenPeer = None, False, 0
        return super().makeConnection(transport)

    def sendString(self, string: BytesLike) -> None:
        """Send `string`, of any length, as a netstring, in one write."""
        data = asBytes(string)
        try:
            self.transport.write(b"%d:%b," % (len(data), data))
        except AttributeError as error:
            checkConnected(self, "sendString", error)
            raise

    def _framingFailed(self, error: FramingError) -> None:
        self.brokenPeer = 1
        self._closeBecauseOf(f"a netstring was expected, but {error}", error)


class OctetCountedReceiver(DecimalStringReceiver):
    """Syslog messages over TCP (RFC 6587, section 3.4.1): b"5 hello", a length from 1 without leading zeros.

    MAX_LENGTH is 65,536. RFC 5425, with the same framing, asks for 8,192.
    """

    MAX_LENGTH = 65536

    _separator = b" "
    _trailer = b""
    _smallestLength = 1
    _errorType = OctetCountError

    def framingFailed(self, error: FramingError) -> Any:
        """Called once, at the first wrong byte or a length above MAX_LENGTH; by default it closes.

        An override cannot go on: nothing more is delivered or kept, as the place of the next message is unknown.
        """
        self._closeBecauseOf(f"an octet-counted message was expected, but {error}", error)

    def sendString(self, string: BytesLike) -> None:
        """Send `string`, at least one byte (ValueError), behind its length, in one write."""
        data = asBytes(string)
        if not data:
            raise ValueError("an octet-counted message has at least one byte")
        try:
            self.transport.write(b"%d %b" % (len(data), data))
        except AttributeError as error:
            checkConnected(self, "sendString", error)
            raise

    def _framingFailed(self, error: FramingError) -> None:
        self._beside(self.framingFailed(error))


class StatefulStringProtocol:
    """A mixin, before a string receiver: gives each string to the method of its state, `proto_init` at first.

    `proto_<state>(string)` returns the next state; "done" closes the connection. A string in a state without a method
    is logged and dropped.
    """

    state = "init"

    if TYPE_CHECKING:
        transport: Any

    def stringReceived(self, string: bytes) -> None:
        """Called with each string by the receiver. Do not override it."""
        handler = getattr(self, "proto_" + self.state, None)
        if handler is None:
            log.limited(logging.WARNING, "A string was dropped: there is no method for the state %r", self.state)
            return
        state = handler(string)
        refused(state, f"proto_{self.state}")
        self.state = state
        if self.state == "done":
            connected(self, "stringReceived").loseConnection()
