"""Ports of several processes: one socket a process, or one for all.

A port of TCP or UDP has a socket for each worker, all with SO_REUSEPORT (socket(7)), and the kernel spreads the clients
over them. On a single shared socket, one process could take nearly all. Other families have one shared socket.

The supervisor opens the sockets, and keeps them open as long as it lives. So clients that wait in the queue of a worker
that dies are accepted by its successor. A socket has a slot, a number from 0. With n workers, the worker p has the
slots p, p + n, p + 2n and so on. There are more slots than workers if there were more workers once: closing a socket of
a group would reset the clients in its queue.

SO_REUSEPORT also lets a second server of the same user bind a port, and take half of the clients, without an error. So
a socket without that option is bound first. It fails if another program has the port.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from reactor._arguments import checkCount
from reactor._defaults import BACKLOG, SOCKET_MODE
from reactor._logger import getLogger
from reactor._numbers import closeNumber, duplicate, openSocket
from reactor.address import UNIXAddress, checkPort, hostText, isIPv6Address, socketName
from reactor.error import CannotListenError
from reactor.transports.binding import Binding
from reactor.transports.shutting import shutOut
from reactor.transports.tcp import noDelay
from reactor.transports.unix.path import BoundPath
from reactor.transports.unix.stream import openBound

log = getLogger("reactor.service")

TCP, UDP, UNIX, UNIX_DATAGRAM, INHERITED = "tcp", "udp", "unix", "unixgram", "inherited"


@dataclass(frozen=True, slots=True)
class Place:
    """An address to listen on, which is not open yet. Make one with `tcp`, `udp`, `unix` or `inherited`.

    Equal places keep their sockets in a reload. `label` tells places apart that are equal otherwise, for example two
    ports 0, which are free ones.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: bytes = b""
    backlog: int = BACKLOG
    mode: int = SOCKET_MODE
    descriptor: int = -1
    label: str = ""

    @classmethod
    def tcp(cls, port: int, interface: str | bytes = "", backlog: int = BACKLOG) -> Place:
        """A TCP port, as of listenTCP. `backlog` counts for each worker. TypeError or ValueError if it cannot be."""
        return cls(TCP, hostText(interface), checkPort(port), backlog=_counted(backlog))

    @classmethod
    def udp(cls, port: int, interface: str | bytes = "") -> Place:
        """A UDP port, as of listenUDP."""
        return cls(UDP, hostText(interface), checkPort(port))

    @classmethod
    def unix(cls, path: str | bytes | os.PathLike[Any], backlog: int = BACKLOG, mode: int = SOCKET_MODE) -> Place:
        """A UNIX stream socket, as of listenUNIX. The supervisor removes its file at the end."""
        return cls(UNIX, path=os.fsencode(path), backlog=_counted(backlog), mode=mode)

    @classmethod
    def unixDatagram(cls, path: str | bytes | os.PathLike[Any], mode: int = SOCKET_MODE) -> Place:
        """A UNIX datagram socket, as of listenUNIXDatagram."""
        return cls(UNIX_DATAGRAM, path=os.fsencode(path), mode=mode)

    @classmethod
    def inherited(cls, descriptor: int) -> Place:
        """A socket that another program has opened, for example systemd (sd_listen_fds(3)).

        All workers share it. If it has SO_REUSEPORT, each worker gets a socket of its own beside it.
        """
        return cls(INHERITED, descriptor=descriptor)

    def __str__(self) -> str:
        if self.kind in (TCP, UDP):
            host = f"[{self.host}]" if ":" in self.host else self.host or "0.0.0.0"
            return f"{self.kind} {host}:{self.port}"
        if self.kind == INHERITED:
            return f"descriptor {self.descriptor}"
        return f"{self.kind} {os.fsdecode(self.path)}"


def _counted(backlog: int) -> int:
    checkCount(backlog, "a backlog")
    return backlog


class Group:
    """The sockets of a place. They are open from the constructor on until `close`.

    `spreads` tells whether each slot has a socket of its own. `len()` is the number of sockets. The first `kept` of
    them have been in use, so shrink() leaves them. `isRenewed` tells whether processes may have an older socket.
    """

    def __init__(self, place: Place, slots: int = 1) -> None:
        """Open the sockets of the first `slots` slots. CannotListenError if the system refuses the first one."""
        self.place = place
        self._bound: BoundPath | None = None
        self._sockets: list[socket.socket] = []
        self._refused = False
        self.isRenewed = False
        self.kept = 1
        self.spreads = place.kind in (TCP, UDP)
        try:
            self._sockets.append(self._first())
            self.grow(slots)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._sockets)

    def __iter__(self) -> Iterator[socket.socket]:
        return iter(self._sockets)

    def __getitem__(self, slot: int) -> socket.socket:
        return self._sockets[slot]

    @property
    def address(self) -> Any:
        """The name of the sockets, as socket.getsockname() has it."""
        return self._sockets[0].getsockname()

    @property
    def isLost(self) -> bool:
        """Whether the file of a path has been removed, or is another one by now: no client finds the socket."""
        return self._bound is not None and not self._bound.isOurs

    def renew(self) -> None:
        """Bind a lost path anew. The processes that have the old socket need the new one.

        CannotListenError if the system refuses. Then the path stays lost.
        """
        assert self._bound is not None, "only a path can be lost"
        self._bound.release()
        sock = self._first()
        old, self._sockets[0] = self._sockets[0], sock
        old.close()
        self.isRenewed = True

    def grow(self, slots: int) -> None:
        """Open sockets until there are `slots`, if each slot has one of its own.

        The system may refuse, for example after the process has given up root. Then workers share sockets.
        """
        while self.spreads and not self._refused and len(self) < slots:
            first = self._sockets[0]
            try:
                self._sockets.append(self._sibling(first))
            except OSError as error:
                self._refused = True
                log.warning("no more sockets for %s, workers share those that are there: %s", self.place, error)

    def shrink(self, used: int) -> None:
        """Close the sockets that were never in use, and are not among the first `used`."""
        while len(self) > max(used, self.kept):
            self._sockets.pop().close()

    def slotsOf(self, position: int, workers: int) -> list[int]:
        """Return the slots of the worker `position` of `workers`."""
        return [slot for slot in range(len(self)) if slot % workers == position] or [position % len(self)]

    def shutOut(self) -> None:
        """Have the kernel let no new client in, in any process. The inherited socket is left alone: it goes on.

        See transports/shutting.py.
        """
        ours = self._sockets[1:] if self.place.kind == INHERITED else self._sockets
        for sock in ours:
            if sock.type == socket.SOCK_STREAM:
                shutOut(sock)

    def close(self) -> None:
        """Close all sockets, and remove the file of a path. Later calls do nothing."""
        while self._sockets:
            self._sockets.pop().close()
        bound, self._bound = self._bound, None
        if bound is not None:
            with suppress(OSError):  # the directory may be closed to the user that this process has become
                bound.release()

    def _first(self) -> socket.socket:
        place = self.place
        if place.kind == INHERITED:
            return self._adopted()
        if place.kind in (UNIX, UNIX_DATAGRAM):
            kind = socket.SOCK_STREAM if place.kind == UNIX else socket.SOCK_DGRAM
            sock, self._bound = openBound(kind, UNIXAddress(place.path), place.mode, wantLock=True)
            return _listening(sock, kind, place.backlog)
        family = socket.AF_INET6 if isIPv6Address(place.host) else socket.AF_INET
        name = socketName(place.host, place.port) if family == socket.AF_INET6 else (place.host, place.port)
        kind = socket.SOCK_DGRAM if place.kind == UDP else socket.SOCK_STREAM
        try:
            if place.port:
                _internetSocket(family, kind, name, reusePort=False).close()
            sock = _internetSocket(family, kind, name)
            return _listening(sock, kind, place.backlog)
        except OSError as error:
            raise CannotListenError(place.host, place.port, error) from error

    def _adopted(self) -> socket.socket:
        """Return a duplicate of the inherited socket, which may have siblings."""
        number = -1
        try:
            number = duplicate(self.place.descriptor)
            sock = socket.socket(fileno=number)
        except OSError as error:
            if number >= 0:
                closeNumber(number)
            raise CannotListenError(f"descriptor {self.place.descriptor}", 0, error) from error
        self._sockets.append(sock)  # to be closed if it is of no use
        isStream = sock.type == socket.SOCK_STREAM
        if isStream and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            deaf = OSError(errno.EINVAL, "the inherited socket does not listen")
            raise CannotListenError(f"descriptor {self.place.descriptor}", 0, deaf)
        isInternet = sock.family in (socket.AF_INET, socket.AF_INET6)
        self.spreads = isInternet and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))
        return self._sockets.pop()

    def _sibling(self, first: socket.socket) -> socket.socket:
        """Return a new socket on the address of `first`."""
        kind = first.type
        return _listening(_internetSocket(first.family, kind, first.getsockname()), kind, self.place.backlog)


class Groups:
    """The open groups of a supervisor, by their places."""

    def __init__(self) -> None:
        self._groups: dict[Place, Group] = {}

    def __getitem__(self, place: Place) -> Group:
        return self._groups[place]

    def __contains__(self, place: Place) -> bool:
        return place in self._groups

    def __iter__(self) -> Iterator[Place]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    def open(self, places: Iterable[Place], slots: int) -> None:
        """Open the places that are not open, each with `slots` slots. On CannotListenError, all is as before.

        The others grow when a worker needs more.
        """
        opened: list[Place] = []
        try:
            for place in places:
                if place not in self._groups:
                    self._groups[place] = Group(place, slots)
                    opened.append(place)
        except BaseException:
            for place in opened:
                self._groups.pop(place).close()
            raise

    def lost(self, places: Iterable[Place]) -> list[Place]:
        """Return those of the open `places` whose path was lost."""
        return [place for place in places if self._groups[place].isLost]

    def keep(self, places: Iterable[Place], shutsOut: bool = False) -> None:
        """Close all but `places`. `shutsOut`: processes that have the others still are to get no new clients."""
        wanted = set(places)
        for place in [place for place in self._groups if place not in wanted]:
            if shutsOut:
                self._groups[place].shutOut()
            log.info("%s is closed", place)
            self._groups.pop(place).close()

    def close(self) -> None:
        """Close all. Later calls do nothing."""
        while self._groups:
            self._groups.popitem()[1].close()


def _internetSocket(family: int, kind: int, name: Any, reusePort: bool = True) -> socket.socket:
    sock = openSocket(family, kind)
    try:
        sock.setblocking(False)
        isStream = kind == socket.SOCK_STREAM
        Binding(reuseAddress=isStream, reusePort=reusePort).setOptions(sock)
        if isStream:
            noDelay(sock)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock


def _listening(sock: socket.socket, kind: int, backlog: int) -> socket.socket:
    try:
        if kind == socket.SOCK_STREAM:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
