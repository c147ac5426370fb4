"""TCP: what is its own, beside the contract of streams in tests/test_matrix.py."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.transports import tcp
from reactor.transports.tcp import checkPort, noDelay, socketName
from tests.harness import World


class TestOptions:
    """What only TCP has."""

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

    def test_aPeerThatHasResetAlready(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Options cannot be set on its socket; the connection is made, and lost."""
        monkeypatch.setattr(tcp, "noDelay", lambda sock: real(Refusing()))
        real = noDelay
        server, client = world.pair()
        client.transport.loseConnection()
        world.until(lambda: server.lost)
        assert server.trace == ["made", ("lost", "ConnectionDone")]


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
