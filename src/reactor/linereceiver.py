"""LineReceiver and LineOnlyReceiver: protocols that get lines.

LineReceiver must look at each setting before each line, because a callback may change any of them. Two loops do that:

- Where every change of a setting is announced (see `announces`), the buffer knows the settings. Its iteration ends as
  soon as one changes, and the second loop delivers the rest of that read. In the same way the buffer cuts a batch for
  linesReceived by the settings that it knows.
- The second loop asks for each setting before each line. It alone serves the pure core. It also serves settings that
  cannot announce: a property, a setting from a mixin, an attribute that a program has just set on the class.

The transports of this package announce when they begin to close. Any other transport is asked for its `disconnecting`
after each line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from reactor._arguments import checkConnected, checkDelimiter, checkLimit, connected, staticAttribute
from reactor._beside import Running, beside, failTransport, isCoroutine
from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor.defer import ensureDeferred
from reactor.error import LineLengthExceeded
from reactor.failure import Failure
from reactor.linecore import (
    BATCHED,
    FAST,
    IMPLEMENTATION,
    SLOW,
    STALE,
    WATCHED,
    LineBuffer,
    Lines,
    Tally,
    announces,
    announcingFromTheStart,
    checkLine,
)
from reactor.protocol import Protocol

log = getLogger("reactor.linereceiver")

# The buffer of each receiver before its first data: always empty.
UNUSED = LineBuffer()

SETTINGS = ("delimiter", "MAX_LENGTH", "line_mode", "stripCR", "paused")
# The modules that raise a TypeError for a setting of the wrong type.
_OWN = (__name__, "reactor.linecore._pure", "reactor._linebuf")
# Whether an instance's own settings announce themselves, so that its `__dict__` need not be looked into.
_ANNOUNCED = IMPLEMENTATION == "compiled"
# For a receiver without linesReceived. With linesReceived, it is looked up before each batch.
LONE_SETTINGS = (*SETTINGS, "linesReceived")


def checkOverlong(value: object) -> None:
    if value not in ("close", "skip"):
        raise ValueError(f'overlong must be "close" or "skip", not {value!r}')


def countedBuffer(protocol: Any) -> LineBuffer:
    """Return a new buffer for `protocol`, whose lines count for the tally of its transport, if that has one."""
    buffer: LineBuffer = protocol._bufferClass()
    tally = getattr(protocol.transport, "tally", None)
    if isinstance(tally, Tally):
        buffer.count(tally)
    return buffer


def isLost(transport: Any) -> bool:
    """Whether no more lines may be delivered after a wait: the transport has disconnected, or is closing."""
    return transport is not None and bool(transport.disconnecting or getattr(transport, "disconnected", False))


def closeTooLong(protocol: Any) -> Any:
    """Close for a line that is too long. On a foreign transport MAX_LENGTH is looked up as often as Twisted does."""
    transport = connected(protocol, "lineLengthExceeded")
    if not hasattr(type(transport), "noteClosing"):
        return transport.loseConnection()
    return closeFor(transport, LineLengthExceeded(f"a line of more than {protocol.MAX_LENGTH} bytes"))


def _checkSettings(settings: Mapping[str, Any]) -> None:
    """TypeError for values in `settings`, of a class's body or an instance, that are wrong whatever is set later.

    None is not such a value, nor are the objects that dataclasses and attrs put there. A subclass, a decorator or a
    callback may set the right value before the first line, as in Twisted. Otherwise `explain` tells of it then.
    """
    if isinstance(delimiter := settings.get("delimiter"), str):
        checkDelimiter(delimiter)
    if isinstance(limit := settings.get("MAX_LENGTH"), str | bytes):
        checkLimit(limit)


def _isPlain(cls: type, name: str) -> bool:
    """Whether reading the setting `name` of an instance of `cls` calls no code of the program, such as a property."""
    value = staticAttribute(cls, name)
    return not hasattr(value, "__get__") or type(value).__module__ == "reactor._announcing"


def _isOurs(error: BaseException) -> bool:
    """Whether our own code, and no handler, has raised `error`."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_globals.get("__name__") in _OWN


def explain(protocol: Any, error: TypeError) -> None:
    """Raise a TypeError that names MAX_LENGTH, if the MAX_LENGTH of `protocol` caused `error` in this package's code.

    Nothing is raised if a handler raised `error`. The line core itself names a wrong delimiter. A property is not read
    again, because a program may count the reads.
    """
    if not _isOurs(error):
        return
    kind = type(protocol)
    if _isPlain(kind, "MAX_LENGTH") and _isPlain(kind, "line_mode") and getattr(protocol, "line_mode", True):
        try:
            checkLimit(protocol.MAX_LENGTH)
        except TypeError as clear:
            raise clear from None


class LineReceiver(Protocol):
    """Receives lines or raw data, and can switch: Twisted's LineReceiver, and more, which is off by default.

    Settings are class attributes, instance attributes or properties. A change in a callback has its effect at once:

    - `delimiter`: bytes that end a line, b"\\r\\n" unless set. With b"" nothing is ever a line.
    - `MAX_LENGTH`: the longest line to deliver, in bytes without its delimiter, 16384 unless set. With a negative value
      every line is too long, even an empty one.
    - `line_mode`: true for lines, false for raw data; see setLineMode and setRawMode.
    - `paused`: while true, the receiver stores new data and delivers none; see pauseProducing.
    - `stripCR`: if true, one CR before the delimiter is not part of the line and does not count for MAX_LENGTH.
    - `batchEndsAtEmptyLine`: if true, a batch for linesReceived also ends behind an empty line. A change of mode then
      counts for all that follows, for example the body behind the head of a message.
    - `overlong`: "close" or "skip". With "close", as in Twisted, lineLengthExceeded gets all that is buffered, and
      closes. With "skip" lineLengthExceeded is called once, and the line is dropped up to its delimiter and counted in
      `overlongCount`. Nothing of it comes back: raw data begins behind it, too.

    lineReceived, rawDataReceived, linesReceived and lineLengthExceeded may return a Deferred or a coroutine. Until it
    has a result, nothing more is delivered and the transport is paused. Its failure ends the connection. No line is
    delivered once the connection is closing.

    Do not override dataReceived and makeConnection. A subclass need not call __init__ of this class.
    """

    delimiter: bytes = b"\r\n"
    MAX_LENGTH: int = 16384
    line_mode: int = 1
    stripCR: bool = False
    overlong: str = "close"
    overlongCount: int = 0
    paused: bool = False
    batchEndsAtEmptyLine: bool = False

    #: Define `linesReceived(lines)` in a subclass to get all complete lines of a read as one list, never an empty one.
    #: It replaces lineReceived, and its result has the same meaning. Settings changed inside count after it. The list
    #: ends before a line that is too long. Set on an instance it counts at once, for the same read, too.
    if TYPE_CHECKING:

        def linesReceived(self, lines: list[bytes]) -> Any:
            """Called in place of lineReceived with a list of lines, if a subclass defines it."""

    else:
        linesReceived: Callable[[list[bytes]], Any] | None = None

    _bufferClass = LineBuffer
    # An attribute of instances only, for the reason that BaseProtocol.transport is.
    __buffer: LineBuffer
    # Whether to look for settings of the instance's own: see AnnouncingAttribute.
    __own = False
    # The class for which announcingFromTheStart was called.
    __prepared: type | None = None
    __held = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """See BaseProtocol."""
        new = super().__new__
        self = new(cls, *args, **kwargs) if args or kwargs else new(cls)
        self.__buffer = UNUSED
        if _ANNOUNCED and cls.__prepared is not cls:
            announcingFromTheStart(cls, LineReceiver, LONE_SETTINGS)
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _checkSettings(cls.__dict__)
        if isinstance(overlong := cls.__dict__.get("overlong", "close"), str | bytes | int | None):
            checkOverlong(overlong)

    def makeConnection(self, transport: Any) -> Running | None:
        """See BaseProtocol. TypeError if the instance's delimiter or limit is text.

        ValueError if `overlong` is neither "close" nor "skip".
        """
        running = super().makeConnection(transport)
        if self.overlong != "close":
            checkOverlong(self.overlong)
        if self.__own or not _ANNOUNCED:
            _checkSettings(self.__dict__)
        return running

    def dataReceived(self, data: bytes) -> Any:
        """Take bytes, a bytearray or a memoryview, and deliver lines. The transport calls this; do not override it.

        Inside a callback, or while a handler's result is missing, it only adds to the buffer. Otherwise it delivers,
        and returns None or the true value with which a handler stopped it. An exception of a handler passes through,
        and the rest stays for the next call.
        """
        buffer = self.__buffer
        if buffer is UNUSED:
            buffer = self.__buffer = countedBuffer(self)
        how = buffer.receive(self, data, self.transport)
        if not how:
            return None
        try:
            if how == STALE:
                how = self.__follow(buffer)
            if how == WATCHED:
                why = None
                for line in buffer:
                    why = self.lineReceived(line)
                    if why is not None:
                        why, stop = self.__heed(buffer, why)
                        if stop:
                            return why
                if buffer.isDone():
                    return None
                transport = self.transport
                if transport and transport.disconnecting:
                    return why
            elif how == BATCHED:
                return self.__deliverBatch(buffer)
            elif how == FAST:
                for line in buffer:
                    why = self.lineReceived(line)
                    if why is not None:
                        why, stop = self.__heed(buffer, why)
                        if stop:
                            return why
                    transport = self.transport
                    if transport is not None and transport.disconnecting and transport:
                        return why
                if buffer.isDone():
                    return None
            return self.__deliver(buffer)
        except TypeError as error:
            explain(self, error)
            raise
        finally:
            buffer.finish(self.transport)

    def lineReceived(self, line: bytes) -> Any:
        """Called with each line, without its delimiter. A true result ends the delivery: the rest waits for more."""
        raise NotImplementedError(f"{type(self).__name__} defines no lineReceived")

    def rawDataReceived(self, data: bytes) -> Any:
        """Called in raw mode with all bytes, never b"". A true result ends the delivery, as in lineReceived."""
        raise NotImplementedError(f"{type(self).__name__} defines no rawDataReceived")

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Called when a line is longer than MAX_LENGTH. Closes the connection, unless `overlong` is "skip".

        `line` begins with the received part of the line. By default the whole rest of the buffer, delimiters included,
        follows it. None of that is delivered, and dataReceived returns the result. If `overlong` is "skip", `line` is
        that line alone, without its delimiter, and the result has the same meaning as that of lineReceived.
        """
        if self.overlong == "skip":
            return None
        return closeTooLong(self)

    def sendLine(self, line: bytes) -> Any:
        """Send `line` and the delimiter in one write. `line` may contain the delimiter: there is no check."""
        try:
            return self.__buffer.send(self, self.transport, line)
        except AttributeError as error:
            checkConnected(self, "sendLine", error)
            raise

    def sendLines(self, lines: Iterable[bytes]) -> Any:
        """Send each of `lines` with the delimiter after it, in one write; without lines there is no write."""
        try:
            return self.__buffer.sendAll(self, self.transport, lines)
        except AttributeError as error:
            checkConnected(self, "sendLines", error)
            raise

    def setRawMode(self) -> None:
        """Deliver everything after the current line, of the same read too, to rawDataReceived."""
        self.line_mode = 0

    def setLineMode(self, extra: bytes = b"") -> Any:
        """Deliver lines again. `extra`, the unused rest of a raw read, counts as received data.

        Inside a callback it is delivered after the callback returns, behind the buffered data. Otherwise it is
        delivered at once, and this returns the result.
        """
        self.line_mode = 1
        if extra:
            return self.dataReceived(extra)
        return None

    def clearLineBuffer(self) -> bytes:
        """Return all received, undelivered bytes, and forget them. A line that is skipped is left out."""
        return self.__buffer.take()

    def takeReceived(self, size: int) -> bytes:
        """Return the next `size` received, undelivered bytes, or as many as there are, and forget them.

        A line that is skipped is left out. ValueError if `size` is negative.
        """
        return self.__buffer.take(size)

    def takeUndelivered(self) -> bytes:
        """Do the same as clearLineBuffer, for startTLS: another stream begins, so a skipped line ends, too."""
        taken = self.__buffer.take()
        self.__buffer.clear()
        return taken

    @property
    def lineCount(self) -> int:
        """The number of lines that have ended on this connection, delivered or skipped."""
        return self.__buffer.lineCount

    @property
    def heldSize(self) -> int:
        """The number of received, undelivered bytes: waiting lines, and the beginning of one."""
        return len(self.__buffer)

    def pauseProducing(self) -> None:
        """Deliver nothing more, beginning with the next line, and pause the transport."""
        self.paused = True
        connected(self, "pauseProducing").pauseProducing()

    def resumeProducing(self) -> None:
        """Resume the transport, and deliver the buffered data, after the result of a handler if that is missing."""
        self.paused = False
        if self.__held:
            return
        connected(self, "resumeProducing").resumeProducing()
        self.dataReceived(b"")

    def stopProducing(self) -> None:
        """Deliver nothing more, and stop the transport."""
        self.paused = True
        connected(self, "stopProducing").stopProducing()

    def __follow(self, buffer: LineBuffer) -> int:
        """Make the settings known to the buffer for as long as none of them changes. SLOW if that cannot be."""
        if buffer.hasFollowed:
            self.__own = True  # it may have had another class, under which it set values that were not announced
        batches = self.linesReceived is not None
        if not announces(type(self), LineReceiver, SETTINGS if batches else LONE_SETTINGS):
            self.__own = True
            buffer.refuse(self)
            return SLOW
        if not self.line_mode or self.paused:
            return SLOW
        return buffer.follow(self, self.delimiter, self.MAX_LENGTH, self.stripCR, batches)

    def __deliverBatch(self, buffer: LineBuffer) -> Any:
        """Deliver all lines of a read at once, by the known settings; then the rest, by asking for each setting.

        If batches end at empty lines there is one for each of them, for as long as the settings are known.
        """
        while (batchReceived := self.linesReceived) is not None:
            lines = buffer.lines(self.batchEndsAtEmptyLine)
            why = batchReceived(lines) if lines else None
            if why is not None:
                why, stop = self.__heed(buffer, why)
                if stop:
                    return why
            if buffer.isDone():
                return None
            transport = self.transport
            if lines and transport and transport.disconnecting:
                return why
            if not lines or not buffer.isUnchanged():
                break
        return self.__deliver(buffer)

    def __deliver(self, buffer: LineBuffer) -> Any:
        """Deliver what is buffered, asking for each setting each time."""
        if not self.__own:
            self.__own = True  # a callback may change the class, too
        while buffer.holds and not self.paused and buffer:
            if not self.line_mode:
                why, stop = self.__heed(buffer, self.rawDataReceived(buffer.take()))
                if stop:
                    return why
                continue
            batchReceived = self.linesReceived
            if batchReceived is not None and (lines := self.__batch(buffer)):
                why = batchReceived(lines)
            elif (line := buffer.cut(self.delimiter)) is not None:
                text = line.removesuffix(b"\r") if self.stripCR else line
                if len(text) > self.MAX_LENGTH:
                    if not self.__skips():
                        return self.__close(buffer, line + self.delimiter)
                    why = self.lineLengthExceeded(line)
                else:
                    why = self.lineReceived(text) if batchReceived is None else batchReceived([text])
            elif not buffer or len(buffer) < self.MAX_LENGTH + len(self.delimiter) + bool(self.stripCR):
                return None
            elif self.__skips():
                why = self.lineLengthExceeded(buffer.skip())
            else:
                return self.__close(buffer)
            if why is not None:
                why, stop = self.__heed(buffer, why)
                if stop:
                    return why
            transport = self.transport
            if transport and transport.disconnecting:
                return why
        return None

    def __batch(self, buffer: LineBuffer) -> list[bytes]:
        buffer.delimiter = self.delimiter
        buffer.maxLength = self.MAX_LENGTH
        buffer.stripCR = self.stripCR
        return buffer.lines(self.batchEndsAtEmptyLine)

    def __skips(self) -> bool:
        """Whether to skip a line that is too long; count it if so."""
        checkOverlong(self.overlong)
        if self.overlong == "close":
            return False
        self.overlongCount += 1
        tally = getattr(self.transport, "tally", None)
        if isinstance(tally, Tally):
            tally.addOverlong()
        return True

    def __close(self, buffer: LineBuffer, line: bytes = b"") -> Any:
        return self.__heed(buffer, self.lineLengthExceeded(line + buffer.take()))[0]

    def __heed(self, buffer: LineBuffer, why: Any) -> tuple[Any, bool]:
        """Return what dataReceived returns if it ends now, for a handler's result `why`, and whether it ends."""
        if why is None:
            return None, False
        if hasattr(why, "addCallbacks") or isCoroutine(why):
            return None, self.__wait(buffer, why)
        return why, bool(why)

    def __wait(self, buffer: LineBuffer, awaited: Any) -> bool:
        """Deliver nothing until `awaited` has its result. False if it has one already."""
        buffer.waiting = True
        deferred = awaited if hasattr(awaited, "addCallbacks") else ensureDeferred(awaited)
        deferred.addCallbacks(self.__goOn, self.__giveUp)
        if buffer.waiting:
            self.__hold()
        if buffer.waiting:
            return True
        self.__release()
        return False

    def __hold(self) -> None:
        transport = self.transport
        if not self.__held and transport is not None and not isLost(transport):
            self.__held = True
            if not self.paused:
                transport.pauseProducing()

    def __release(self) -> None:
        if self.__held:
            self.__held = False
            if not self.paused and not isLost(self.transport):
                self.transport.resumeProducing()

    def __goOn(self, result: Any) -> Any:
        """Called with the awaited result. The transport stays paused while more is delivered: a wait may follow."""
        buffer = self.__buffer
        buffer.waiting = False
        if not buffer.busy and not isLost(self.transport):
            try:
                self.dataReceived(b"")
                if not buffer.waiting:
                    self.__release()
            except BaseException:
                self.__giveUp(Failure())
        return result

    def __giveUp(self, failure: Any) -> None:
        """Called when a handler has failed: closes the connection. `waiting` stays set, so no more is delivered."""
        buffer = self.__buffer
        buffer.waiting = True
        buffer.clear()
        failTransport(self, failure, log)


announcingFromTheStart(LineReceiver, LineReceiver, LONE_SETTINGS)


class LineOnlyReceiver(Protocol):
    r"""Receives lines and nothing else: Twisted's LineOnlyReceiver.

    It reads `delimiter` (b"\r\n") once a read, and `MAX_LENGTH` (16384 bytes) before each line. A coroutine that
    lineReceived returns runs beside the next lines, and nothing waits for it. If a line closes the connection, is too
    long, or makes lineReceived raise, the lines behind it in the same read are lost.
    """

    delimiter: bytes = b"\r\n"
    MAX_LENGTH: int = 16384

    _bufferClass = LineBuffer
    __buffer: LineBuffer = UNUSED
    __own = False
    __isPlain = True
    __lines: Iterator[bytes] = iter(())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _checkSettings(cls.__dict__)
        cls.__isPlain = _isPlain(cls, "delimiter") and _isPlain(cls, "MAX_LENGTH")

    def makeConnection(self, transport: Any) -> Running | None:
        """See BaseProtocol. TypeError if the instance's delimiter is text then, or its limit."""
        running = super().makeConnection(transport)
        if self.__isPlain:
            _checkSettings({"delimiter": self.delimiter, "MAX_LENGTH": self.MAX_LENGTH})
        return running

    def dataReceived(self, data: bytes) -> Any:
        """Take data and deliver lines. The transport calls this. Return the result of lineLengthExceeded, if called."""
        buffer = self.__buffer
        if buffer is UNUSED:
            buffer = self.__buffer = countedBuffer(self)
        try:
            lines = buffer.split(data, self.delimiter)
            if lines:
                why, ended = self.__deliver(lines)
                if ended:
                    return why if why is None else self.__heed(why)
            if len(buffer) > self.MAX_LENGTH:
                return self.__heed(self.lineLengthExceeded(buffer.peek()))
        except TypeError as error:
            explain(self, error)
            raise
        except AttributeError as error:
            if _isOurs(error):
                checkConnected(self, "dataReceived", error)
            raise
        finally:
            buffer.finish(self.transport)
        return None

    def __heed(self, why: Any) -> Any:
        """Return the result of dataReceived, for a result of lineLengthExceeded."""
        if not isCoroutine(why):
            return why
        beside(why, self.__fail)
        return None

    def __deliver(self, lines: Lines) -> tuple[Any, bool]:
        """Deliver the cut lines. Return the result of dataReceived if it ends now, and whether it does."""
        self.__lines = lines
        try:
            if announces(type(self), LineOnlyReceiver, ("MAX_LENGTH",)):
                if lines.watch(self, self.MAX_LENGTH, self.transport):
                    for line in lines:
                        why = self.lineReceived(line)
                        if why is not None:
                            beside(why, self.__fail)
                else:
                    for line in lines:
                        if self.transport.disconnecting:
                            return None, True
                        beside(self.lineReceived(line), self.__fail)
        finally:
            rest = self.__lines = iter(lines.rest())
        for line in rest:
            if self.transport.disconnecting:
                return None, True
            if len(line) > self.MAX_LENGTH:
                return self.lineLengthExceeded(line), True
            beside(self.lineReceived(line), self.__fail)
        return None, False

    def __fail(self, failure: Failure) -> None:
        failTransport(self, failure, log)

    def lineReceived(self, line: bytes) -> Any:
        """Called with each line, without its delimiter."""
        raise NotImplementedError(f"{type(self).__name__} defines no lineReceived")

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Called with a line, or the beginning of one, of more than MAX_LENGTH bytes. Closes the connection."""
        return closeTooLong(self)

    @property
    def lineCount(self) -> int:
        """The number of lines that have ended on this connection, those of the present read left out."""
        return self.__buffer.lineCount

    @property
    def heldSize(self) -> int:
        """The number of bytes of the line that has not ended."""
        return len(self.__buffer)

    def takeUndelivered(self) -> bytes:
        """Return the received, undelivered bytes, and forget them. startTLS calls it: such bytes were plain."""
        rest = getattr(self.__lines, "rest", None)
        lines = b"".join(line + self.delimiter for line in (self.__lines if rest is None else rest()))
        return lines + self.__buffer.take()

    def sendLine(self, line: bytes) -> Any:
        """Send `line` and the delimiter."""
        try:
            writeSequence = self.transport.writeSequence
        except AttributeError as error:
            checkConnected(self, "sendLine", error)
            raise
        delimiter = self.delimiter
        try:
            return writeSequence((line, delimiter))
        except TypeError:
            checkLine(line)
            checkDelimiter(delimiter)
            raise
