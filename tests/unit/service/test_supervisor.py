"""A supervisor and its workers as real processes, and what their clients see."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest

from reactor.loops.epoll import EpollReactor
from reactor.service.endsignals import SAME_REQUEST
from reactor.service.supervisor import Supervisor
from tests.support.knocking import isLetIn, knock
from tests.support.supervised import DEADLINE, LOOPBACK, Supervised, answered, supervised, waitUntil
from tests.support.worlds import refusedPort


def isRefused(address: tuple[str, int]) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(address) != 0


def isGone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def atEnd(peer: socket.socket) -> bool:
    """Whether a connection ends in order, with nothing more to read."""
    return peer.recv(1) == b""


def environmentOf(peer: socket.socket) -> dict[str, str]:
    """The environment of the worker behind a connection."""
    peer.sendall(b"environment\n")
    with peer.makefile("rb") as lines:
        lines.readline()
        environment: dict[str, str] = json.loads(lines.readline())
    return environment


def test_workersShareThePorts(tmp_path: pathlib.Path) -> None:
    """The kernel spreads connections and datagrams, and TERM ends all in order. A UNIX socket is shared."""
    path = tmp_path / "s"
    port = refusedPort()
    places = {
        "echo": {"kind": "tcp", "host": LOOPBACK},
        "six": {"kind": "tcp", "host": "::1"},
        "udp": {"kind": "udp", "host": LOOPBACK, "port": port},
        "unix": {"kind": "unix", "path": str(path)},
    }
    with supervised(tmp_path, places=places) as server:
        workers = set(server.workers())
        assert len(workers) == 2
        assert {server.ask()[0] for _ in range(60)} == workers
        with server.connect("six") as peer:
            assert answered(peer)[0] in workers
        answers = set()
        for _ in range(60):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.settimeout(DEADLINE)
                sender.sendto(b"hi", (LOOPBACK, port))
                answers.add(int(sender.recv(100).split()[0]))
        assert answers == workers
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE)
            peer.connect(str(path))
            assert answered(peer)[0] in workers
        with server.connect() as peer:
            assert [name for name in environmentOf(peer) if name.startswith("LINEREACTOR_")] == []
            server.signal(signal.SIGTERM)
            assert atEnd(peer)
        assert server.end() == 0
        assert isRefused(server.tcp())
        assert all(map(isGone, workers))
    assert not path.exists()


def test_signalsAreTheSupervisors(tmp_path: pathlib.Path) -> None:
    """A terminal's interrupt does not reach the workers, and those that reach them by mistake do no harm."""
    with supervised(tmp_path, loop="asyncio") as server:
        workers = server.workers()
        assert os.getpgid(server.process.pid) not in {os.getpgid(pid) for pid in workers}
        for pid in workers:
            for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
                os.kill(pid, number)
        server.signal(signal.SIGUSR1)
        server.until(*(f"reopened by {pid}" for pid in workers))
        assert server.ask()[0] in workers
        server.signal(signal.SIGINT)
        assert server.end() == 0
        assert "KeyboardInterrupt" not in server.log()
        assert "by itself" not in server.log()


def test_aReloadIsForFreshCode(tmp_path: pathlib.Path) -> None:
    """New workers get the new settings and addresses, old connections end in order, and old ports close."""
    with supervised(tmp_path) as server:
        address = server.tcp()
        first = server.workers()
        standing = server.connect()
        with standing:
            assert answered(standing)[1] == 0
            port = refusedPort()
            # the settings name the same place, and one more
            places = {**server.settings["places"], "other": {"kind": "tcp", "host": LOOPBACK, "port": port}}
            server.configure(setting="fresh", places=places, workers=1)
            server.signal(signal.SIGHUP)
            server.until("reloaded: 1 worker ready")
            assert atEnd(standing)
        waitUntil(lambda: server.ask()[1] == 1)
        with socket.create_connection((LOOPBACK, port), DEADLINE) as peer:
            assert environmentOf(peer)["SETTING"] == "fresh"
        waitUntil(lambda: all(map(isGone, first)))
        server.configure(places={"other": places["other"]})
        server.signal(signal.SIGHUP)
        waitUntil(lambda: isRefused(address))
        assert not isRefused((LOOPBACK, port))


def test_aReloadThatFailsChangesNothing(tmp_path: pathlib.Path) -> None:
    """The old workers serve on, and the log tells why. The next reload may succeed."""
    with supervised(tmp_path) as server, socket.socket() as other, server.connect() as standing:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = {"kind": "tcp", "host": LOOPBACK, "port": other.getsockname()[1]}
        workers = server.workers()
        before = answered(standing)
        good = server.settings
        failures: list[tuple[dict[str, Any], str]] = [
            ({"workers": 0}, "a server needs one worker or more"),
            ({"exit": "an unknown option"}, "the old workers stay: an unknown option"),
            ({"fails": True, "workers": 4}, "exit code 4: the settings want it so"),
            ({"crashes": True}, "exit code 5"),
            ({"places": {"other": taken}}, "Address already in use"),
        ]
        for broken, why in failures:
            server.settings = {**good, **broken}
            server.configure()
            server.signal(signal.SIGHUP)
            server.until(why)
            assert answered(standing) == before
            waitUntil(lambda: server.workers() == workers)
        assert server.log().count("Traceback") == 1  # of the ValueError: the others are no faults of a program
        assert server.log().count("the reload has failed, the old workers stay") == len(failures)
        assert {server.ask()[0] for _ in range(40)} == set(workers)  # no client waits at a socket that nobody has
        server.settings = good
        server.configure()
        server.signal(signal.SIGHUP)
        server.until("reloaded: 2 workers ready")
        waitUntil(lambda: server.ask()[1] > 0)


def test_aReloadWaitsForNobodyForEver(tmp_path: pathlib.Path) -> None:
    with supervised(tmp_path, startTimeout=4.0, workers=1) as server:
        server.configure(hangs=True)
        server.signal(signal.SIGHUP)
        server.until("was not ready in time", "the reload has failed, the old workers stay")
        assert server.ask()[1] == 0


def test_aKilledWorkerIsReplaced(tmp_path: pathlib.Path) -> None:
    """Within half a second, although it has not lived long, and no client of its port is refused."""
    with supervised(tmp_path, workers=1) as server:
        (first,) = server.workers()
        os.kill(first, signal.SIGKILL)
        begun = time.monotonic()
        with server.connect() as peer:  # it waits in the queue
            waitUntil(lambda: server.workers() and first not in server.workers())
            assert time.monotonic() - begun <= 0.5
            assert answered(peer)[0] in server.workers()
        server.until("has ended by itself (signal 9 (SIGKILL))")


def test_noClientWaitsForAWorkerThatCannotStart(tmp_path: pathlib.Path) -> None:
    """Another takes its socket, also the clients in its queue. In its time the position has a worker again."""
    with supervised(tmp_path) as server:
        first, second = server.workers()
        server.configure(crashes=True)
        os.kill(second, signal.SIGKILL)
        server.until("has failed 2 times in a row")
        assert {server.ask()[0] for _ in range(32)} == {first}
        server.configure(crashes=False)
        waitUntil(lambda: any(server.serves(pid) for pid in server.workers() if pid != first))
        assert first in {server.ask()[0] for _ in range(32)}


def test_aWorkerRetires(tmp_path: pathlib.Path) -> None:
    """By its own wish, or after some lines, or by a signal: another serves, and its connections end in order."""
    with supervised(tmp_path, workers=1, maxLines=10) as server:
        (first,) = server.workers()
        with server.connect() as peer:
            assert answered(peer, b"retire")[0] == first
            assert atEnd(peer)
        second = server.ask()[0]
        assert second != first
        with server.connect() as peer:
            for _ in range(20):
                assert answered(peer)[0] == second
            assert atEnd(peer)
        third = server.ask()[0]
        assert third != second
        with server.connect() as peer:
            answered(peer)
            os.kill(third, signal.SIGTERM)
            assert atEnd(peer)
        assert server.ask()[0] != third
        waitUntil(lambda: all(map(isGone, (first, second, third))))
        assert "has ended" not in server.log()


def test_aStuckWorkerIsKilled(tmp_path: pathlib.Path) -> None:
    """It shows its stacks, if it can."""
    with supervised(tmp_path, workers=1, watchdog=0.5) as server:
        (first,) = server.workers()
        assert server.ask(b"stall")[0] == first
        server.until("has not turned its loop for 0.5 s", "in stallForEver", "signal 6 (SIGABRT)")
        second = server.ask()[0]
        assert second != first
        os.kill(second, signal.SIGSTOP)
        server.until("has not ended with its stacks, killed")
        assert server.ask()[0] not in (first, second)


def test_workersEndWithTheirSupervisor(tmp_path: pathlib.Path) -> None:
    """In order: a connection is drained."""
    with supervised(tmp_path) as server:
        workers = server.workers()
        with server.connect() as peer:
            answered(peer)
            server.process.kill()
            server.process.wait()
            assert atEnd(peer)
        waitUntil(lambda: all(map(isGone, workers)))
        assert "the supervisor has ended, so this worker ends, too" in server.log()


def test_aSecondSignalEndsAtOnce(tmp_path: pathlib.Path) -> None:
    """Also with a worker whose loop does not turn, and one whose client takes nothing."""
    with supervised(tmp_path, grace=60.0) as server:
        for _ in range(20):
            pid, _generation = server.ask(b"stall")
            if len({pid, *server.workers()}) == 2:
                break
        server.signal(signal.SIGTERM)
        server.until("the workers end in order, in 60 s")
        begun = time.monotonic()
        time.sleep(2 * SAME_REQUEST)  # a second one within SAME_REQUEST is the same request
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        assert time.monotonic() - begun < 5.0


def test_timeoutAsksOnce(tmp_path: pathlib.Path) -> None:
    """timeout(1) signals the process that it has started, and then the process group, with that process in it."""
    with supervised(tmp_path) as server:
        for number in (signal.SIGTERM, signal.SIGTERM):
            server.signal(number)
        assert server.end() == 0
        assert "asked again" not in server.log()


def test_theGraceIsADeadline(tmp_path: pathlib.Path) -> None:
    with supervised(tmp_path, grace=0.2) as server:
        server.ask(b"stall")
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        server.until("did not end in time, killed")


def test_oneMoreAndOneFewer(tmp_path: pathlib.Path) -> None:
    """The sockets of the worker that leaves go to another one: no client waits in vain, and none is reset."""
    with supervised(tmp_path, workers=1) as server:
        server.signal(signal.SIGTTIN)
        waitUntil(lambda: len({server.ask()[0] for _ in range(20)}) == 2)
        first, second = server.workers()
        over = threading.Event()
        faults: list[Exception] = []

        def load() -> None:
            while not over.is_set():
                try:
                    server.ask()
                except Exception as error:
                    faults.append(error)

        clients = [threading.Thread(target=load) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            server.signal(signal.SIGTTOU)
            waitUntil(lambda: isGone(second))
        finally:
            over.set()
            for client in clients:
                client.join()
        assert faults == []
        assert {server.ask()[0] for _ in range(20)} == {first}
        server.signal(signal.SIGTTOU)
        server.until("one worker is the least, it stays")


def test_fewerIsForMoreToComeFirst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python may deliver a TTOU before the TTIN that came a microsecond earlier."""
    reactor = EpollReactor()
    supervisor = Supervisor(reactor, ["worker"], {})
    done: list[str] = []
    for name in ("more", "fewer"):
        monkeypatch.setattr(supervisor._workers.fleet, name, partial(done.append, name))
    supervisor.fewerWorkers()
    supervisor.moreWorkers()
    reactor.iterate(0)
    assert done == ["more", "fewer"]
    reactor.close()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"crashes": True}, "5 workers in a row have not lived for 1 s"),
        ({"fails": True}, "worker 0 of generation 0 could not start: the settings want it so"),
    ],
)
def test_itGivesUp(tmp_path: pathlib.Path, settings: dict[str, Any], why: str) -> None:
    with supervised(tmp_path, waits=False, workers=1, **settings) as server:
        assert server.end() == 1
        assert f"the server ends: {why}" in server.log()
        assert server.log().count("has ended before it was ready") == (5 if "crashes" in settings else 1)


def statusOf(folder: pathlib.Path) -> dict[str, Any]:
    try:
        status: dict[str, Any] = json.loads((folder / "status.json").read_text())
    except FileNotFoundError:
        return {"workers": []}
    return status


def test_anAdminProcessGetsTheStatus(tmp_path: pathlib.Path) -> None:
    """It is replaced like a worker, and its death is no matter to the others."""
    with supervised(tmp_path, admin=True, workers=1) as server:
        waitUntil(lambda: [each["state"] for each in statusOf(tmp_path)["workers"]] == ["ready"])
        status = statusOf(tmp_path)
        worker, admin = status["workers"][0]["pid"], status["admin"]
        assert {worker, admin} == set(server.workers())
        assert status["workers"][0]["listeners"]["echo"]["linesIn"] == 0
        assert (status["state"], status["restarts"], status["reloads"], status["reloadFailures"]) == ("ready", 0, 0, 0)
        os.kill(admin, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        waitUntil(lambda: statusOf(tmp_path)["admin"] != admin and statusOf(tmp_path)["restarts"] == 1)
        waitUntil(lambda: statusOf(tmp_path)["workers"] and statusOf(tmp_path)["workers"][0]["pid"] != worker)
        server.signal(signal.SIGHUP)
        waitUntil(lambda: statusOf(tmp_path)["reloads"] == 1)
        server.configure(fails=True)
        server.signal(signal.SIGHUP)
        waitUntil(lambda: statusOf(tmp_path)["reloadFailures"] == 1)
        server.configure(fails=False, admin=False)
        server.signal(signal.SIGHUP)
        waitUntil(lambda: len(server.workers()) == 1)
        server.signal(signal.SIGTERM)
        assert server.end() == 0


class Manager:
    """A stand-in for systemd: a datagram socket that keeps what it was told."""

    def __init__(self, name: str) -> None:
        self.told: list[dict[str, str]] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(DEADLINE)

    def until(self, **fields: str) -> dict[str, str]:
        """Read until a message has these fields."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))
            self.told.append(message)
            if fields.items() <= message.items():
                return message
        raise AssertionError(f"the manager was not told {fields}, but {self.told[-20:]}")


def test_systemdIsTold(tmp_path: pathlib.Path) -> None:
    manager = Manager(f"\0reactor-{os.getpid()}")
    environment = {"NOTIFY_SOCKET": f"@reactor-{os.getpid()}", "WATCHDOG_USEC": "200000"}
    with manager.socket, supervised(tmp_path, waits=False, environment=environment) as server:
        assert manager.until(READY="1")["STATUS"] == "2 workers ready"
        assert "READY" not in [name for message in manager.told[:-1] for name in message]
        manager.until(WATCHDOG="1")
        manager.until(WATCHDOG="1")
        before = time.monotonic_ns() // 1000
        server.signal(signal.SIGHUP)
        message = manager.until(RELOADING="1")
        assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        manager.until(READY="1")
        server.configure(crashes=True)
        server.signal(signal.SIGHUP)
        manager.until(RELOADING="1")
        assert "the last reload has failed: worker" in manager.until(READY="1")["STATUS"]
        with server.connect() as peer:
            assert {"NOTIFY_SOCKET", "WATCHDOG_USEC"}.isdisjoint(environmentOf(peer))
        server.signal(signal.SIGTERM)
        manager.until(STOPPING="1")
        assert server.end() == 0


@pytest.mark.parametrize("reusePort", [False, True])
def test_aSocketOfSystemds(tmp_path: pathlib.Path, reusePort: bool) -> None:
    """Workers share it, or have sockets of their own beside it if it lets them."""
    with socket.socket() as activated:
        if reusePort:
            activated.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        activated.bind((LOOPBACK, 0))
        activated.listen(100)
        server = Supervised(tmp_path, places={"echo": {"kind": "inherited", "descriptor": 3}})
        try:
            descriptor = activated.fileno()
            move = f"import os, sys; os.dup2({descriptor}, 3); os.execv(sys.argv[1], sys.argv[1:])"
            server.start(sys.executable, "-c", move, pass_fds=[descriptor])
            server.untilReady()
            address = activated.getsockname()
            for _ in range(20):
                with socket.create_connection(address, DEADLINE) as peer:
                    assert answered(peer)[0] in server.workers()
            inodes = pathlib.Path("/proc/net/tcp").read_text().count(f":{address[1]:04X} 00000000:0000 0A")
            assert inodes == (2 if reusePort else 1)
            server.signal(signal.SIGTERM)
            assert server.end() == 0
            assert not isRefused(address)  # the manager has it still
        finally:
            server.close()


@pytest.mark.parametrize("how", ["removed", "replaced", "refused"])
def test_aLostPathIsBoundAnew(tmp_path: pathlib.Path, how: str) -> None:
    """A reload makes the file of a UNIX socket that was removed, also if its new workers cannot start.

    Nobody's file is taken away. Clients of the lost socket go on.
    """
    path = tmp_path / "s"
    places = {"unix": {"kind": "unix", "path": str(path), "mode": 0o640}}
    with supervised(tmp_path, places=places, workers=1) as server:

        def ask() -> tuple[int, int]:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(DEADLINE)
                peer.connect(str(path))
                return answered(peer)

        with socket.socket(socket.AF_UNIX) as standing:
            standing.connect(str(path))
            before = answered(standing)
            path.unlink()
            if how == "replaced":
                path.write_text("a file of another program")
                server.signal(signal.SIGHUP)
                server.until("the old workers stay", "that is no socket")
                assert path.read_text() == "a file of another program"
                path.unlink()
            if how == "refused":
                server.configure(fails=True)
            server.signal(signal.SIGHUP)
            server.until("was removed by another program, and is bound anew")
            waitUntil(path.exists)
            assert ask()[0] in server.workers()
            if how == "refused":
                server.until("the reload has failed, the old workers stay")
                assert ask()[1] == 0
                assert answered(standing) == before
                server.configure(fails=False)
                server.signal(signal.SIGHUP)
            server.until("reloaded: 1 worker ready")
            assert atEnd(standing)
        waitUntil(lambda: ask()[1] > 0)
        assert path.stat().st_mode & 0o777 == 0o640
        inode = path.stat().st_ino
        server.signal(signal.SIGHUP)
        waitUntil(lambda: server.log().count("reloaded: 1 worker ready") == 2)
        assert path.stat().st_ino == inode, "it stays, if it is the server's"
        assert server.log().count("is bound anew") == 1
        server.signal(signal.SIGTERM)
        assert server.end() == 0
    assert not path.exists()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("loop", ["epoll", "asyncio"])
def test_nobodyIsLetInAtTheLastMoment(tmp_path: pathlib.Path, kind: str, loop: str) -> None:
    """The kernel lets no client in between a worker's last accept and its close: it would be reset."""
    path = tmp_path / "s"
    places = {"echo": {"kind": "tcp", "host": LOOPBACK} if kind == "tcp" else {"kind": "unix", "path": str(path)}}
    go = tmp_path / "go"
    with supervised(tmp_path, places=places, loop=loop, closesWith=str(go)) as server:
        family, address = (socket.AF_INET, server.tcp()) if kind == "tcp" else (socket.AF_UNIX, str(path))
        early, isIn = knock(family, address)
        assert isIn
        early.settimeout(DEADLINE)
        assert answered(early)[0] in server.workers()
        server.signal(signal.SIGTERM)
        waitUntil(lambda: len(list(tmp_path.glob("go.*"))) == 2)
        assert not isLetIn(family, address)
        go.touch()
        assert atEnd(early)
        assert server.end() == 0
        early.close()


def test_theEndBeforeAWorkerIsReady(tmp_path: pathlib.Path) -> None:
    """A client that the kernel has let in already is answered. A worker that no client waits for ends at once."""
    gate = tmp_path / "gate"
    with supervised(tmp_path, waits=False, grace=DEADLINE, waitsFor=str(gate)) as server:
        waitUntil(lambda: (tmp_path / "address.json").exists() and len(server.workers()) == 2)
        with server.connect() as peer:
            peer.sendall(b"hi\n")
            server.signal(signal.SIGTERM)
            server.until("the workers end in order")
            waitUntil(lambda: len(server.workers()) == 1)
            (left,) = server.workers()
            gate.touch()
            assert answered(peer) == (left, 0)
            assert atEnd(peer)
        assert server.end() == 0


def test_clientsOfACrashLoopAtTheEnd(tmp_path: pathlib.Path) -> None:
    """A client that waits for a worker whose start is delayed is served by a last one, and not reset."""
    with supervised(tmp_path, workers=1) as server:
        server.configure(crashes=True)
        os.kill(server.workers()[0], signal.SIGKILL)
        server.until("the next start is in 0.4 s")
        with server.connect() as peer:
            peer.sendall(b"hi\n")
            server.configure(crashes=False)
            server.signal(signal.SIGTERM)
            with peer.makefile("rb") as lines:
                assert lines.readline().endswith(b" hi\n")
                assert lines.read() == b""
        assert server.end() == 0


def test_aReloadMayChangeWhoSpeaksLast(tmp_path: pathlib.Path) -> None:
    """Each worker ends as its own program wants it: the code that only receives may be new."""
    with supervised(tmp_path, workers=1) as server:
        server.configure(sendFin=True)
        server.signal(signal.SIGHUP)
        server.until("reloaded: 1 worker ready", "sendFin False")
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        assert server.log().count("sendFin True") == 1


WORKER = """
printf '{"event": "ready"}\\n' >&$LINEREACTOR_CONTROL
read -r order <&$LINEREACTOR_CONTROL
"""


@pytest.mark.needs("root", "bash")
def test_rootIsGivenUp(tmp_path: pathlib.Path) -> None:
    """Ids, saved ones too, groups and capabilities, of the supervisor and its workers."""
    nobody = pwd.getpwnam("nobody")
    identity = [nobody.pw_uid, nobody.pw_gid, "nobody"]
    places = {"echo": {"kind": "tcp", "host": LOOPBACK, "port": freeLowPort()}}
    with supervised(tmp_path, identity=identity, places=places, workers=1, command=["bash", "-c", WORKER]) as server:
        server.signal(signal.SIGTTIN)  # without root, a second socket cannot be bound: the two share the first
        server.until("no more sockets for")
        waitUntil(lambda: len(server.workers()) == 2)
        for pid in (server.process.pid, *server.workers()):
            lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
            assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
            assert set(status["Groups"].split()) <= {str(nobody.pw_gid)}
            for name in ("CapPrm", "CapEff", "CapAmb"):
                assert int(status[name], 16) == 0
        server.signal(signal.SIGTERM)
        assert server.end() == 0


def freeLowPort() -> int:
    for port in range(600, 1024):
        with socket.socket() as candidate:
            if candidate.connect_ex((LOOPBACK, port)) != 0:
                return port
    raise AssertionError("no low port is free")
