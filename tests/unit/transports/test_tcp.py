"""TCP: what is its own, beside the contract of streams in tests/contract/test_matrix.py."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.address import checkPort, socketName
from reactor.transports import tcp
from reactor.transports.tcp import TCPPort, noDelay
from tests.support.worlds import LOOPBACK, World, dial


class TestOptions:
    """Options that only TCP has."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = World()
        yield world
        world.close()

    def test_noDelayIsOnAndKeepAliveOff(self, world: World) -> None:
        for end in world.pair():
            assert end.transport.getTcpNoDelay() is True
            assert end.transport.getTcpKeepAlive() is False
            handle = end.transport.getHandle()
            assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for value in (False, True, 0, 1):
                end.transport.setTcpNoDelay(value)
                end.transport.setTcpKeepAlive(value)
                assert end.transport.getTcpNoDelay() is bool(value)
                assert end.transport.getTcpKeepAlive() is bool(value)

    @pytest.mark.parametrize("interface", [LOOPBACK, "", "::1", "::"])
    @pytest.mark.parametrize("inherits", [True, False])
    def test_noDelayIsOnWhereverOneListens(
        self, world: World, interface: str, inherits: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Linux passes it on from the listening socket; elsewhere each connection gets it."""
        if not inherits:
            monkeypatch.setattr(TCPPort, "_inherits", False)
            monkeypatch.setattr(TCPPort, "_openSocket", delayed(TCPPort._openSocket))
        factory = world.serverFactory()
        port = world.reactor.listenTCP(0, factory, interface=interface)
        with dial(port.getHost().port, "::1" if ":" in interface else LOOPBACK):
            world.until(lambda: factory.built)
            assert factory.only.transport.getTcpNoDelay() is True

    @pytest.mark.parametrize("adopt", [True, False])
    def test_noDelayOfWhatAnAdoptedSocketAccepts(self, world: World, adopt: bool) -> None:
        """The socket is somebody else's too, and stays as it is."""
        factory = world.serverFactory()
        with socket.create_server((LOOPBACK, 0)) as listening:
            number = listening.fileno()
            if adopt:
                world.reactor.adoptStreamPort(number, socket.AF_INET, factory)
                peer = dial(listening.getsockname()[1])
                world.until(lambda: factory.built)
            else:
                peer = dial(listening.getsockname()[1])
                with listening.accept()[0] as accepted:
                    world.reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, factory)
            assert factory.only.transport.getTcpNoDelay() is True
            assert not listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            peer.close()

    def test_aPeerThatHasResetAlready(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Options cannot be set on its socket; the connection is made, and lost."""
        monkeypatch.setattr(TCPPort, "_inherits", False)
        real = noDelay
        monkeypatch.setattr(tcp, "noDelay", lambda sock: real(Refusing()))  # type: ignore[arg-type]
        server, client = world.pair()
        client.transport.loseConnection()
        world.until(lambda: server.lost)
        assert server.trace == ["made", ("lost", "ConnectionDone")]


def delayed(openSocket: Callable[[Any], socket.socket]) -> Callable[[Any], socket.socket]:
    def openDelayed(port: Any) -> socket.socket:
        sock = openSocket(port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, False)
        return sock

    return openDelayed


class Refusing:
    def setsockopt(self, *_: object) -> None:
        raise OSError(errno.EINVAL, "gone")


def test_socketName() -> None:
    assert socketName("127.0.0.1", 80) == ("127.0.0.1", 80)
    assert socketName("::1", 80) == ("::1", 80, 0, 0)
    with pytest.raises(OSError, match="not known"):
        socketName("localhost", 80)


def test_checkPort() -> None:
    assert [checkPort(number) for number in (0, 80, 65535)] == [0, 80, 65535]
    wrongs: list[Any] = [-1, 65536, "80", 80.0, None]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="0 to 65535"):
            checkPort(wrong)
