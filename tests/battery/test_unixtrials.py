"""UNIX sockets: which process owns a path, and which user gets in. The processes are in unixowners.py."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import stat
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reactor import DatagramProtocol, EpollReactor, Protocol, ServerFactory
from reactor.error import CannotListenError
from reactor.transports.unix.stream import PeerCredentials
from tests.battery.sizes import size
from tests.battery.unixowners import NOBODY, run
from tests.support.worlds import LOOPS, TWISTED, UNIXWorld

pytestmark = pytest.mark.needs("root")

KINDS = pytest.mark.parametrize("kind", ["stream", "datagram"])
ROUNDS = size(200, 5000)


@pytest.fixture
def directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A directory that is the current one, and that every user can reach."""
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def user(number: int) -> Iterator[None]:
    """For a while be this user."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


class Ports:
    """A reactor, and ports of both kinds on it."""

    def __init__(self) -> None:
        self.reactor = EpollReactor()
        self.factory = ServerFactory.forProtocol(Protocol)
        self.factory.noisy = False

    def listen(self, kind: str, path: str = "s", **arguments: Any) -> Any:
        if kind == "stream":
            return self.reactor.listenUNIX(path, self.factory, **arguments)
        protocol = DatagramProtocol()
        protocol.noisy = False
        return self.reactor.listenUNIXDatagram(path, protocol, **arguments)

    def stop(self, port: Any) -> None:
        port.stopListening()
        self.reactor.iterate(0)


@pytest.fixture
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.reactor.disconnectAll()
    ports.reactor.iterate(0)
    ports.reactor.close()


class TestOwners:
    """No live socket is stolen, no restart fails, nobody else's file is removed."""

    @KINDS
    @pytest.mark.parametrize("before", ["killed", "Twisted's"])
    def test_killedAndStartedAgain(self, directory: pathlib.Path, before: str, kind: str) -> None:
        assert run(directory, "race", before, kind, 1, ROUNDS) == f"{ROUNDS} {ROUNDS}\n"

    @KINDS
    @pytest.mark.parametrize("before", ["nothing", "killed", "Twisted's"])
    def test_twoStartAtOnce(self, directory: pathlib.Path, before: str, kind: str) -> None:
        assert run(directory, "race", before, kind, 2, ROUNDS) == f"{ROUNDS} {ROUNDS}\n"

    @KINDS
    def test_oneStopsAsAnotherStarts(self, directory: pathlib.Path, kind: str) -> None:
        assert run(directory, "stopAndStart", kind, ROUNDS) == f"{ROUNDS}\n"

    @KINDS
    @pytest.mark.parametrize("owner", ["ours", "ours without a lock", "Twisted's", "Twisted's without a lock"])
    def test_aLiveOwnerKeepsItsPath(self, directory: pathlib.Path, owner: str, kind: str) -> None:
        """Ours and Twisted's, with their locks and without, try all at once; when it is dead, ours can."""
        assert run(directory, "liveOwner", owner, kind, size(10, 100)) == "0 True True\n"

    def test_aSocketPassedOnByForkLives(self, directory: pathlib.Path) -> None:
        """As long as the child has it; and the lock with it."""
        assert run(directory, "passedOn", "fork") == "False True\n"

    def test_aProgramKeepsNothing(self, directory: pathlib.Path) -> None:
        assert run(directory, "passedOn", "program") == "True True\n"

    @pytest.mark.parametrize("side", LOOPS, ids=[side.name for side in LOOPS])
    @pytest.mark.parametrize("locked", [True, False])
    def test_checkPIDKnowsTwistedsLock(self, directory: pathlib.Path, side: SimpleNamespace, locked: bool) -> None:
        with contextlib.closing(UNIXWorld(TWISTED)) as owner, contextlib.closing(UNIXWorld(side)) as world:
            owner.reactor.listenUNIX("s", owner.serverFactory(), wantPID=locked)
            client = world.clientFactory()
            world.reactor.connectUNIX("s", client, checkPID=True)
            world.until(lambda: client.built or client.trace[-1] == "stop")
            assert client.trace[2] == ("build" if locked else ("failed", "disconnected", "BadFileError"))
            if client.built:
                world.until(lambda: "made" in client.trace)


def makeFile(path: str, what: str) -> None:
    """Put something at `path` that is no dead socket."""
    match what:
        case "file":
            pathlib.Path(path).write_bytes(b"precious")
        case "directory":
            os.mkdir(path)
        case "fifo":
            os.mkfifo(path)
        case "live socket":
            os.link("live", path)
        case _:
            os.symlink(LINKS[what], path)


LINKS = {
    "dangling link": "nowhere",
    "link to itself": "s",
    "link to a file": "precious",
    "link to a live socket": "live",
    "link to a dead socket": "dead",
}
FILES = ["file", "directory", "fifo", "live socket", *LINKS]


def everything(directory: pathlib.Path) -> dict[str, tuple[object, ...]]:
    """All that can be said of the files in a directory."""
    found = dict[str, tuple[object, ...]]()
    for entry in sorted(directory.rglob("*")):
        status = entry.lstat()
        content = entry.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = os.readlink(entry) if entry.is_symlink() else ""
        found[str(entry)] = (status.st_ino, status.st_mode, status.st_uid, status.st_nlink, content, target)
    return found


class TestForeignFiles:
    """A file in the way stays as it was, whichever user we are."""

    @pytest.mark.parametrize("number", [0, NOBODY], ids=["root", "nobody"])
    @pytest.mark.parametrize("name", ["s", "s.lock"])
    @pytest.mark.parametrize("what", FILES)
    def test_whatIsInTheWay(self, ports: Ports, directory: pathlib.Path, what: str, name: str, number: int) -> None:
        (directory / "precious").write_bytes(b"more than ours")
        os.chown(directory, number, number)
        with socket.socket(socket.AF_UNIX) as live:
            live.bind("live")
            live.listen()
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind("dead")
            with user(0 if what == "live socket" else number):
                makeFile(name, what)
            before = everything(directory)
            # A regular file passes for a lock, whichever user made it, if it is not locked. Without a lock nobody looks
            # at it.
            for kind in ("stream", "datagram"):
                for wantPID in (True,) if name == "s.lock" else (True, False):
                    if name == "s.lock" and what == "file":
                        continue
                    with user(number), pytest.raises(CannotListenError):
                        ports.listen(kind, wantPID=wantPID)
                    assert everything(directory) == before
            with socket.socket(socket.AF_UNIX) as client:
                client.connect("live")

    @KINDS
    @pytest.mark.parametrize("mode", [0o755, 0o711, 0o700, 0o1777])
    @pytest.mark.parametrize("left", ["nothing", "private", "open", "live"])
    def test_inAnothersDirectory(self, ports: Ports, directory: pathlib.Path, kind: str, mode: int, left: str) -> None:
        """Root's, with root's dead or live socket in it; but a user who may make files there may make a socket."""
        place = directory / "roots"
        place.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as owner:
            if left != "nothing":
                owner.bind("roots/s")
                (place / "s").chmod(0o600 if left == "private" else 0o666)
                if kind == "stream":
                    owner.listen()
            if left != "live":
                owner.close()
            place.chmod(mode)
            before = everything(directory)
            if mode == 0o1777 and left == "nothing":
                with user(NOBODY):
                    port = ports.listen(kind, "roots/s")
                    assert {path.name: path.lstat().st_uid for path in place.iterdir()} == {
                        "s": NOBODY,
                        "s.lock": NOBODY,
                    }
                    ports.stop(port)
            else:
                with user(NOBODY), pytest.raises(CannotListenError):
                    ports.listen(kind, "roots/s")
            assert everything(directory) == before

    @KINDS
    def test_nobodysLockCannotBeTakenByAnother(self, ports: Ports, directory: pathlib.Path, kind: str) -> None:
        """In a directory for everybody, two users' processes meet at one name: the first has it."""
        directory.chmod(0o1777)
        with user(1):
            first = ports.listen(kind, mode=0o666)
        before = everything(directory)
        with user(NOBODY), pytest.raises(CannotListenError):
            ports.listen(kind)
        assert everything(directory) == before
        with user(1):
            ports.stop(first)
        assert everything(directory) == {}


class TestModes:
    """A socket has its mode from the first moment on, and tells which user has connected."""

    @KINDS
    @pytest.mark.parametrize("mask", [0, 0o022, 0o077])
    def test_everyModeIsTheOneAskedFor(self, ports: Ports, directory: pathlib.Path, mask: int, kind: str) -> None:
        outer = os.umask(mask)
        try:
            for mode in range(0o1000):
                port = ports.listen(kind, mode=mode)
                assert stat.S_IMODE(os.lstat("s").st_mode) == mode
                assert stat.S_IMODE(os.lstat("s.lock").st_mode) == 0o600 & ~mask
                ports.stop(port)
            port = ports.listen(kind)
            assert stat.S_IMODE(os.lstat("s").st_mode) == 0o600
        finally:
            os.umask(outer)

    @KINDS
    @pytest.mark.parametrize("mode", ["600", "660"])
    @pytest.mark.parametrize("mask", ["0", "022", "077"])
    def test_nobodyGetsInBefore(self, directory: pathlib.Path, mask: str, mode: str, kind: str) -> None:
        """A process of user nobody tries to connect all the time while ports are opened, in 1,000 openings at least."""
        connected, refused = map(int, run(directory, "intrude", kind, mask, mode, "ports", 1000).split())
        assert connected == 0
        assert refused > 0

    @KINDS
    def test_theIntruderWouldSeeAWindow(self, directory: pathlib.Path, kind: str) -> None:
        """The trial above can fail: bind() and then chmod() let the intruder in."""
        connected, _ = map(int, run(directory, "intrude", kind, "0", "600", "naive", 0).split())
        assert connected > 0

    @KINDS
    def test_theIntruderIsLetInWhereHeMay(self, directory: pathlib.Path, kind: str) -> None:
        connected, _ = map(int, run(directory, "intrude", kind, "022", "666", "ports", 100).split())
        assert connected > 0

    @pytest.mark.parametrize("side", LOOPS, ids=[side.name for side in LOOPS])
    def test_credentials(self, directory: pathlib.Path, side: SimpleNamespace) -> None:
        """The server knows which user has connected, even if another one sent the bytes."""
        with contextlib.closing(UNIXWorld(side)) as world:
            factory = world.serverFactory()
            world.reactor.listenUNIX("s", factory, mode=0o666)
            for number in (NOBODY, 0, 1):
                with socket.socket(socket.AF_UNIX) as client:
                    with user(number):
                        client.connect("s")
                    client.sendall(b"from whoever has it now")
                    count = len(factory.built)
                    world.until(lambda count=count: len(factory.built) > count)
                    transport = factory.built[-1].transport
                    assert transport.getPeerCredentials() == PeerCredentials(os.getpid(), number, number)

    @KINDS
    def test_abstractNamesAreForThoseWhoAskForThem(self, ports: Ports, directory: pathlib.Path, kind: str) -> None:
        """A name that others write for an abstract one is a path, and nothing but a NUL in front makes one."""
        for name in ("s", "@s"):
            port = ports.listen(kind, name)
            assert stat.S_ISSOCK(os.lstat(name).st_mode)
            assert not isAnswered(kind, "\0s")
            assert not isAnswered(kind, "\0@s")
            ports.stop(port)
        port = ports.listen(kind, "\0s")
        assert isAnswered(kind, "\0s")
        ports.stop(port)


def isAnswered(kind: str, name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as client:
        return client.connect_ex(name) == 0
