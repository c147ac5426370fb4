"""Recording protocols for datagrams, on our side or on Twisted's, and sockets to talk to them."""

from __future__ import annotations

import contextlib
import copy
import socket
import tempfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, OURS, TWISTED, Condition, turnUntil

Hooks = dict[str, Callable[..., object]]


class _Recording:
    """The callbacks of a protocol: each is written down, then its hook called, with the protocol first."""

    noisy = False

    def __init__(self, hooks: Hooks) -> None:
        self.trace: list[Any] = []
        self.hooks = hooks
        self.received: list[bytes] = []
        self.senders: list[Any] = []

    def _saw(self, *event: Any, arguments: tuple[Any, ...] = ()) -> None:
        self.trace.append(event if len(event) > 1 else event[0])
        hook = self.hooks.get(event[0])
        if hook is not None:
            hook(self, *arguments)

    def startProtocol(self) -> None:
        self._saw("start")

    def stopProtocol(self) -> None:
        self._saw("stop", self.transport)  # type: ignore[attr-defined]

    def datagramReceived(self, datagram: bytes, addr: Any = "peer") -> None:
        assert type(datagram) is bytes
        self.received.append(datagram)
        self.senders.append(addr)
        self._saw("received", datagram, arguments=(datagram, addr))

    def datagramLengthExceeded(self, datagram: bytes, addr: Any = "peer") -> None:
        assert type(datagram) is bytes
        self.senders.append(addr)
        self._saw("exceeded", len(datagram), arguments=(datagram, addr))

    def connectionRefused(self) -> None:
        self._saw("refused")

    def connectionFailed(self, failure: Any) -> None:
        self._saw("failed", type(failure.value).__name__, arguments=(failure,))


class DatagramWorld:
    """One reactor of one side, and ports for datagrams on it."""

    def __init__(self, side: SimpleNamespace = OURS) -> None:
        self.side = side
        self.reactor = side.makeReactor()
        self.directory = tempfile.TemporaryDirectory()
        self._exits = contextlib.ExitStack()
        self._count = 0

    def close(self) -> None:
        """End everything that is left."""
        self._exits.close()
        self.side.close(self.reactor)
        self.directory.cleanup()

    def until(self, condition: Condition) -> None:
        """Go on until `condition()` is true."""
        turnUntil(self.reactor, condition)

    def protocol(self, kind: str = "DatagramProtocol", **hooks: Callable[..., object]) -> Any:
        """A recording protocol."""
        base = getattr(self.side.protocol, kind)
        return type("Recorder", (_Recording, base), {})(hooks)

    def listen(self, interface: str = LOOPBACK, **arguments: Any) -> Any:
        """The recording protocol of a new UDP port. Arguments are listenUDP's, or hooks."""
        own = {name: arguments.pop(name) for name in ("maxPacketSize",) if name in arguments}
        protocol = self.protocol(**arguments)
        self.reactor.listenUDP(0, protocol, interface=interface, **own)
        return protocol

    def path(self) -> str:
        """A path at which there is nothing yet."""
        self._count += 1
        return f"{self.directory.name}/{self._count}"

    def socket(self, family: int = socket.AF_INET, name: Any = None) -> socket.socket:
        """A plain blocking datagram socket; by default one of UDP that is bound to loopback."""
        sock = self._exits.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.settimeout(DEADLINE)
        if family == socket.AF_INET:
            sock.bind((LOOPBACK, 0))
        elif family == socket.AF_INET6:
            sock.bind(("::1", 0))
        elif name is not None:
            sock.bind(name)
        return sock


def nameOf(protocol: Any) -> tuple[str, int]:
    """Where to send to reach `protocol`, whose port is of UDP."""
    host = protocol.transport.getHost()
    return (host.host, host.port)


def refusedName() -> tuple[str, int]:
    """An address at which nobody receives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((LOOPBACK, 0))
        host, port = free.getsockname()
        return (host, port)


def stopped(port: Any) -> Callable[[], object]:
    """Stop `port`; return what tells whether that is done."""
    done: list[Any] = []
    port.stopListening().addCallback(done.append)
    return lambda: done


@contextlib.contextmanager
def worldOf(side: SimpleNamespace) -> Iterator[DatagramWorld]:
    world = DatagramWorld(side)
    try:
        yield world
    finally:
        world.close()


class OnBothSides:
    def both(self, script: Callable[[DatagramWorld], Any]) -> Any:
        """Run `script` on every loop of ours and on Twisted, and return what it says: the same everywhere."""
        said = []
        for side in (*LOOPS, TWISTED):
            with worldOf(side) as world:
                said.append(copy.deepcopy(script(world)))  # the end of the world would add to it
        assert said[:-1] == [said[-1]] * len(LOOPS)
        return said[0]


def leavingSockets(test: Any) -> Any:
    """For a test after which a socket of Twisted's is left to the garbage collector."""
    for ignored in ("ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
        test = pytest.mark.filterwarnings(ignored)(test)
    return test
