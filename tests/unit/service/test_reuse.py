"""The sockets of several processes: one for each, or one for all."""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
import socket
from collections.abc import Iterator

import pytest

from reactor.error import CannotListenError
from reactor.service import reuse
from reactor.service.hands import Program
from reactor.service.reuse import Group, Groups, Place
from tests.support.knocking import isLetIn, knock
from tests.support.worlds import LOOPBACK, refusedPort


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
def test_eachSlotHasASocketOfTheSameAddress(groups: Groups, host: str) -> None:
    place = Place.tcp(0, host, backlog=7)
    groups.open([place], 3)
    group = groups[place]
    assert len({sock.fileno() for sock in group}) == len(group) == 3
    assert {sock.getsockname() for sock in group} == {group.address}
    assert group.address[0] == host
    accepted = [0, 0, 0]
    for _ in range(60):
        with socket.create_connection(group.address[:2], 5):
            for slot, sock in enumerate(group):
                while True:
                    try:
                        sock.accept()[0].close()
                        accepted[slot] += 1
                    except BlockingIOError:
                        break
    assert all(accepted), "the kernel spreads them"


def test_datagramsToo(groups: Groups) -> None:
    place = Place.udp(refusedPort(), LOOPBACK)
    groups.open([place], 2)
    assert [sock.type for sock in groups[place]] == [socket.SOCK_DGRAM] * 2
    assert groups[place].address == (LOOPBACK, place.port)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("slots", [1, 2, 4, 7])
def test_everySlotBelongsToAWorker(groups: Groups, workers: int, slots: int) -> None:
    place = Place.tcp(0, LOOPBACK)
    groups.open([place], slots)
    group = groups[place]
    held = [group.slotsOf(position, workers) for position in range(workers)]
    assert {slot for slots in held for slot in slots} == set(range(slots))
    assert all(held)
    if slots >= workers:
        assert sum(map(len, held)) == slots


def test_anotherProgramsPortIsNotTaken(groups: Groups) -> None:
    """SO_REUSEPORT alone would let two servers of one user share a port by mistake."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind((LOOPBACK, 0))
            if kind == socket.SOCK_STREAM:
                other.listen()
            port = other.getsockname()[1]
            place = Place.tcp(port, LOOPBACK) if kind == socket.SOCK_STREAM else Place.udp(port, LOOPBACK)
            with pytest.raises(CannotListenError) as caught:
                groups.open([place], 2)
            assert isinstance(caught.value.socketError, OSError)
            assert caught.value.socketError.errno == errno.EADDRINUSE
    assert len(groups) == 0


def test_allPlacesOrNone(groups: Groups, tmp_path: pathlib.Path) -> None:
    good, path = Place.tcp(0, LOOPBACK), Place.unix(tmp_path / "s")
    with pytest.raises(CannotListenError):
        groups.open([good, path, Place.tcp(0, "192.0.2.1")], 2)
    assert len(groups) == 0
    assert not (tmp_path / "s").exists()
    groups.open([good, path], 2)
    address = groups[good].address
    groups.open([good, path], 4)  # the same again: they stay as they are
    assert (groups[good].address, len(groups[good]), len(groups[path])) == (address, 2, 1)
    groups.keep([path])
    assert list(groups) == [path]
    with socket.socket() as peer:
        assert peer.connect_ex(address) == errno.ECONNREFUSED


def test_aPathHasOneSocket(groups: Groups, tmp_path: pathlib.Path) -> None:
    stream, datagram = Place.unix(tmp_path / "s", mode=0o660), Place.unixDatagram(str(tmp_path / "d"))
    groups.open([stream, datagram], 3)
    for place in (stream, datagram):
        assert not groups[place].spreads
        groups[place].grow(5)
        assert len(groups[place]) == 1
        assert groups[place].slotsOf(4, 5) == [0]
    assert os.stat(tmp_path / "s").st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(os.fspath(tmp_path / "s"))
    with pytest.raises(CannotListenError):
        Group(stream)
    groups.close()
    assert list(tmp_path.iterdir()) == []


def test_nobodyIsLetInAnyMore(groups: Groups, tmp_path: pathlib.Path) -> None:
    """Each socket of a group obeys, and those that wait are not lost. A socket of another program goes on."""
    tcp, unix, datagrams = Place.tcp(0, LOOPBACK), Place.unix(tmp_path / "s"), Place.udp(0, LOOPBACK)
    with socket.socket() as activated:
        activated.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        activated.bind((LOOPBACK, 0))
        activated.listen(10)
        inherited = Place.inherited(activated.fileno())
        groups.open([tcp, unix, datagrams, inherited], 2)
        names = {place: groups[place].address for place in (tcp, unix, inherited)}
        theirs = [sock.dup() for place in names for sock in groups[place]]  # as the workers have them
        early = [knock(sock.family, sock.getsockname())[0] for sock in theirs]
        groups.keep([], shutsOut=True)
        assert len(groups) == 0
        for place in (tcp, unix):
            for _ in range(3):  # the kernel chooses the socket
                assert not isLetIn(socket.AF_UNIX if place == unix else socket.AF_INET, names[place])
        accepted = 0
        for sock in theirs:
            sock.setblocking(False)
            while accepts(sock):
                accepted += 1
        assert accepted == len(early)
        for sock in theirs:
            sock.close()
        assert isLetIn(socket.AF_INET, names[inherited])
        for client in early:
            client.close()


def accepts(sock: socket.socket) -> bool:
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("reusePort", [False, True])
def test_anInheritedSocket(groups: Groups, reusePort: bool) -> None:
    with socket.socket() as inherited:
        inherited.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reusePort)
        inherited.bind((LOOPBACK, 0))
        inherited.listen()
        place = Place.inherited(inherited.fileno())
        groups.open([place], 2)
        assert groups[place].spreads is reusePort
        assert len(groups[place]) == (2 if reusePort else 1)
        assert groups[place].address == inherited.getsockname()
        groups.close()
        with socket.create_connection(inherited.getsockname(), 5):
            inherited.accept()[0].close()


def test_whatCannotBeInherited(groups: Groups) -> None:
    with socket.socket() as deaf, open(os.devnull) as file:
        deaf.bind((LOOPBACK, 0))
        wrong = [(deaf.fileno(), "does not listen"), (file.fileno(), "non-socket"), (99999, "descriptor")]
        for descriptor, why in wrong:
            with pytest.raises(CannotListenError, match=why):
                groups.open([Place.inherited(descriptor)], 1)


def test_workersShareIfTheSystemGivesNoMore(
    groups: Groups, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For example when the process has given up root, and the port is below 1024."""
    place = Place.tcp(0, LOOPBACK)
    groups.open([place], 2)

    def refuse(*arguments: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(reuse, "_internetSocket", refuse)
    group = groups[place]
    group.grow(4)
    group.grow(4)
    assert len(group) == 2
    assert [group.slotsOf(position, 4) for position in range(4)] == [[0], [1], [0], [1]]
    assert caplog.text.count("no more sockets for") == 1


def test_onlySocketsThatWereNeverInUseAreClosed(groups: Groups) -> None:
    place = Place.tcp(0, LOOPBACK)
    groups.open([place], 4)
    group = groups[place]
    group.kept = 2
    group.shrink(3)
    assert len(group) == 3
    group.shrink(0)
    assert len(group) == 2


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Place.tcp(70000), ValueError),
        (lambda: Place.tcp("80"), ValueError),  # type: ignore[arg-type]
        (lambda: Place.udp(-1), ValueError),
        (lambda: Place.tcp(80, backlog="9"), TypeError),  # type: ignore[arg-type]
        (lambda: Place.unix(5), TypeError),  # type: ignore[arg-type]
    ],
)
def test_wrongPlaces(make: object, error: type[Exception]) -> None:
    assert callable(make)
    with pytest.raises(error):
        make()


def test_placesAsText() -> None:
    places = [Place.tcp(80), Place.tcp(80, "::1"), Place.udp(53, LOOPBACK), Place.unix("/run/s"), Place.inherited(3)]
    assert [str(place) for place in places] == [
        "tcp 0.0.0.0:80",
        "tcp [::1]:80",
        "udp 127.0.0.1:53",
        "unix /run/s",
        "descriptor 3",
    ]


def test_namesDoNotShareAPlace(groups: Groups) -> None:
    """A process would get a descriptor twice, and close it twice. A label tells ports of 0 apart."""
    place = Place.tcp(0, LOOPBACK)
    with pytest.raises(ValueError, match="equal places"):
        Program(["program"], {"a": place, "b": Place.tcp(0, LOOPBACK)})
    other = dataclasses.replace(place, label="b")
    Program(["program"], {"a": place, "b": other})
    groups.open([place, other], 2)
    assert groups[place].address != groups[other].address
