"""The channel between a supervisor and a process that it runs: lines of JSON over a pair of UNIX sockets.

Each message is an object on a line of its own. A message of a process names an event (`{"event": "ready"}`), a message
of the supervisor an order (`{"order": "drain", "grace": 5.0}`). A descriptor travels with the first byte of the message
that it belongs to.
"""

from __future__ import annotations

import json
import math
import os
import socket
import stat
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from reactor._logger import getLogger
from reactor._numbers import closeNumber
from reactor.error import ConnectionLost
from reactor.failure import Failure
from reactor.interfaces import ITransportReactor
from reactor.linereceiver import LineOnlyReceiver
from reactor.protocol import Factory
from reactor.transports.adopting import AdoptedUNIXConnection, adoptConnection

log = getLogger("reactor.service")

CONTROL = "LINEREACTOR_CONTROL"  # the number of the channel's descriptor
NUMBER = "LINEREACTOR_WORKER"  # the number of the worker, from 0
GENERATION = "LINEREACTOR_GENERATION"  # how many reloads there were before
SOCKETS = "LINEREACTOR_SOCKETS"  # name=descriptor,name=descriptor
GRACE = "LINEREACTOR_CONTROL_GRACE"  # seconds of a drain that the worker begins itself
BEAT = "LINEREACTOR_CONTROL_BEAT"  # seconds between two beats
VARIABLES = (CONTROL, NUMBER, GENERATION, SOCKETS, GRACE, BEAT)

DIGITS = 10  # of a number in these variables, one less at most
LONGEST_MESSAGE = 1 << 20  # bytes
MOST_WAITING = 1 << 16  # unsent bytes of a channel, from which on reports are left out

Message: TypeAlias = Mapping[str, Any]


def formatSockets(numbers: Mapping[str, list[int]]) -> str:
    """Return the value of LINEREACTOR_SOCKETS for the descriptors of each name. A name may hold any characters."""
    return ",".join(f"{quote(name, safe=':')}={fd}" for name, fds in numbers.items() for fd in fds)


def parseSockets(text: str) -> dict[str, list[int]]:
    """Return the descriptors of each name in a value of LINEREACTOR_SOCKETS. ValueError if it has another form."""
    found: dict[str, list[int]] = {}
    for entry in filter(None, text.split(",")):
        name, separator, number = entry.partition("=")
        if not separator or not _isNumber(number):
            raise ValueError(f"{SOCKETS} has the form name=descriptor,name=descriptor, and not {text!r}")
        found.setdefault(unquote(name), []).append(int(number))
    return found


def _isNumber(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < DIGITS


def countIn(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return the whole number in the variable `name`. ValueError for another value, or for none without a default."""
    text = environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not _isNumber(text):
        raise ValueError(f"{name} is a whole number from 0, and not {text!r}")
    return int(text)


def secondsIn(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return the seconds in the variable `name`. ValueError for another value."""
    text = environ.get(name)
    try:
        seconds = default if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} is a number of seconds from 0, and not {text!r}")
    return seconds


def checkSocket(descriptor: int, what: str) -> None:
    """ValueError, with the words `what` in its text, unless `descriptor` is an open socket."""
    try:
        isSocket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise ValueError(f"{what} is descriptor {descriptor}: {error.strerror}") from None
    if not isSocket:
        raise ValueError(f"{what} is descriptor {descriptor}, which is no socket")


class Channel(LineOnlyReceiver):
    """One end of a control channel.

    `heard(message)` is called with each message, and `lost()` once at the end of the channel. `descriptors` are those
    that have come and were not taken.
    """

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_MESSAGE

    def __init__(self, heard: Callable[[dict[str, Any]], None], lost: Callable[[], None]) -> None:
        self.descriptors: deque[int] = deque()
        self._heard = heard
        self._lost = lost

    @property
    def isOpen(self) -> bool:
        """Whether a message can still be sent."""
        return bool(self.transport.connected and not self.transport.disconnecting)

    def send(self, message: Message, descriptor: int | None = None) -> bool:
        """Send `message`, with a duplicate of `descriptor` if it is given. Return False if the channel has ended.

        ValueError if the message is too long for the peer; TypeError or ValueError if JSON cannot carry it.
        """
        if not self.isOpen:
            return False
        line = json.dumps(message, separators=(",", ":")).encode()
        if len(line) > LONGEST_MESSAGE:
            raise ValueError(f"a message of {len(line)} bytes, {LONGEST_MESSAGE} is the most")
        if descriptor is not None:
            self.transport.sendFileDescriptor(descriptor)
        self.sendLine(line)
        return True

    def report(self, message: Message) -> bool:
        """Send `message`, which the next one replaces. Return False, with nothing sent, if the peer does not read."""
        return self.isOpen and bool(self.transport.unsent < MOST_WAITING) and self.send(message)

    def readRest(self) -> None:
        """Deliver the messages that wait in the kernel: the peer has ended, and its last words count."""
        waits = True
        while waits and self.isOpen:
            try:
                waits = bool(self.transport.getHandle().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except OSError:
                return
            if waits:
                self.transport.doRead()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor for the message that it came with."""
        self.descriptors.append(descriptor)

    def lineReceived(self, line: bytes) -> None:
        """Deliver a message. Other lines are logged, and dropped."""
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._heard(message)
        else:
            log.error("a line on the control channel is no message: %r", line[:200])

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The peer has ended, or has closed the channel."""
        while self.descriptors:
            closeNumber(self.descriptors.popleft())
        self._lost()


class _Link(AdoptedUNIXConnection):
    """A connection whose end by an error is not logged: it is the end of a process, which its supervisor tells."""

    __slots__ = ()

    def _broke(self, why: object) -> None:
        self.connectionLost(Failure(ConnectionLost(str(why))))


class _OneFactory(Factory):
    """A factory of the one given protocol, which logs nothing."""

    noisy = False

    def __init__(self, protocol: Channel) -> None:
        self._only = protocol

    def buildProtocol(self, addr: Any) -> Channel:
        """See IProtocolFactory."""
        return self._only


def openChannel(
    reactor: ITransportReactor,
    fileDescriptor: int,
    heard: Callable[[dict[str, Any]], None],
    lost: Callable[[], None],
) -> Channel:
    """Return a Channel on a duplicate of `fileDescriptor`, one of a pair of UNIX stream sockets.

    The caller closes its own. OSError if it is no such socket.
    """
    channel = Channel(heard, lost)
    adoptConnection(reactor, fileDescriptor, socket.AF_UNIX, _OneFactory(channel), _Link)
    return channel
