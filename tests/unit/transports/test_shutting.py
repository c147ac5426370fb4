"""Clients are shut out of a listening socket before it is closed: those that wait are served, new ones are refused."""

from __future__ import annotations

import errno
import pathlib
import select
import socket
import sys
from collections.abc import Iterator

import pytest

from reactor.transports.shutting import shutOut
from tests.support.knocking import A_WHILE, isLetIn, knock

FAMILIES = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def listening(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[socket.socket]:
    family = request.param
    hosts = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}
    with socket.socket(family) as sock:
        sock.settimeout(20)
        sock.bind(hosts.get(family, str(tmp_path / "s")))
        sock.listen(10)
        yield sock


def test_thoseWhoWaitAreServedAndNobodyElseIsLetIn(listening: socket.socket) -> None:
    family, address = listening.family, listening.getsockname()
    early, isIn = knock(family, address)
    assert isIn
    assert shutOut(listening)
    assert not isLetIn(family, address)
    accepted, _ = listening.accept()
    for one, other in [(early, accepted), (accepted, early)]:
        one.sendall(b"hello")
        assert other.recv(10) == b"hello"
    listening.settimeout(0)
    with pytest.raises(BlockingIOError):
        listening.accept()
    accepted.close()
    assert early.recv(10) == b""
    early.close()


def test_itHoldsForEveryDescriptor(listening: socket.socket) -> None:
    """For example, for that of another process, and more than one process may ask."""
    with listening.dup() as other:
        assert shutOut(other)
        assert shutOut(listening)
    assert not isLetIn(listening.family, listening.getsockname())


def test_anAcceptedSocketMayInheritIt() -> None:
    """A client whose handshake ends behind it: the kernel copies the filter of the listener to the accepted socket."""
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname(), 20) as client:
        accepted, _ = door.accept()
        assert shutOut(accepted)
        data = bytes(range(256)) * 4096
        client.settimeout(20)
        accepted.settimeout(20)
        for one, other in [(client, accepted), (accepted, client)]:
            one.sendall(data[:100_000])
            got = bytearray()
            while len(got) < 100_000:
                got += other.recv(100_000)
            assert got == data[:100_000]
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        accepted.close()
        assert client.recv(1) == b""


def test_aRefusedClientHearsIt() -> None:
    """The kernel drops its first segment, and refuses the second, when the socket is closed."""
    door = socket.create_server(("127.0.0.1", 0))
    assert shutOut(door)
    client, isIn = knock(socket.AF_INET, door.getsockname(), A_WHILE)
    door.close()
    with client:
        assert not isIn
        assert select.select([], [client], [], 20)[1] == [client]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_whereTheSystemCannot(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "darwin")
        assert not shutOut(listening)
    client, isIn = knock(listening.family, listening.getsockname())
    assert isIn
    client.close()
    closed = socket.socket(listening.family)
    closed.close()
    assert not shutOut(closed)
