"""spawnProcess: what the child gets, what comes back, and how it ends, on every loop and beside Twisted."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import signal
import struct
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.error import ProcessExitedAlready
from tests.support.children import SHELL, Children, children
from tests.support.worlds import LOOPS, OURS, TWISTED, Producer

MIB = 1 << 20
EVERY = (*LOOPS, TWISTED)


@pytest.fixture(params=EVERY, ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[Children]:
    with children(request.param) as made:
        yield made


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def ours(request: pytest.FixtureRequest) -> Iterator[Children]:
    with children(request.param) as made:
        yield made


@pytest.fixture
def epoll() -> Iterator[Children]:
    with children(OURS) as made:
        yield made


def result(world: Children, script: str, hooks: Any = None, **options: Any) -> dict[str, Any]:
    summary: dict[str, Any] = world.ended(world.shell(script, hooks, **options))
    return summary


# How it ends.


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exit 0", ("ProcessDone", 0, None, 0)),
        ("exit 3", ("ProcessTerminated", 3, None, 3 << 8)),
        ("kill -9 $$", ("ProcessTerminated", None, 9, 9)),
    ],
)
def test_howItEnds(world: Children, script: str, how: tuple[Any, ...]) -> None:
    child = world.shell(script)
    assert world.ended(child) == {"received": {}, "lost": [0, 1, 2], "how": how}
    assert child.transport.pid is None
    assert child.transport.status == how[3]


def test_outputAndErrors(world: Children) -> None:
    assert result(world, "echo out; echo err >&2")["received"] == {1: b"out\n", 2: b"err\n"}


def test_methodsByName(world: Children) -> None:
    """The three descriptors have callbacks of their own."""
    calls: list[object] = []

    class Named(world.side.protocol.ProcessProtocol):  # type: ignore[misc, name-defined]
        def outReceived(self, data: bytes) -> None:
            calls.append(("out", data))

        def errReceived(self, data: bytes) -> None:
            calls.append(("err", data))

        def inConnectionLost(self) -> None:
            calls.append("in")

        def outConnectionLost(self) -> None:
            calls.append("out")

        def errConnectionLost(self) -> None:
            calls.append("err")

        def processEnded(self, reason: Any) -> None:
            calls.append("ended")

    world.reactor.spawnProcess(Named(), SHELL, [SHELL, "-c", "echo 1; echo 2 >&2"], None)
    world.until(lambda: "ended" in calls)
    assert sorted(calls[:-1], key=str) == sorted([("out", b"1\n"), ("err", b"2\n"), "in", "out", "err"], key=str)


def test_inputUntilItsEnd(world: Children) -> None:
    def made(child: Any) -> None:
        child.transport.write(b"one ")
        child.transport.writeSequence([b"two ", b"three"])
        child.transport.writeToChild(0, b"!")
        child.transport.closeStdin()
        child.transport.closeStdin()

    assert result(world, "cat; echo .", {"made": made})["received"] == {1: b"one two three!.\n"}


def test_theChildClosesItsInput(world: Children) -> None:
    """We hear of it while we have nothing to send."""

    def lost(child: Any, fd: int) -> None:
        if fd == 0:
            child.transport.write(b"dropped")
            child.transport.writeToChild(3, b"go on\n")

    summary = result(world, "exec 0<&-; read x <&3; echo $x", {"lost": lost}, childFDs={0: "w", 1: "r", 3: "w"})
    assert summary == {"received": {1: b"go on\n"}, "lost": [0, 1, 3], "how": ("ProcessDone", 0, None, 0)}


def test_theChildClosesItsOutput(world: Children) -> None:
    def lost(child: Any, fd: int) -> None:
        if fd == 1:
            child.transport.closeStdin()

    child = world.shell("exec 1>&-; cat >/dev/null; exit 7", {"lost": lost})
    assert world.ended(child)["how"] == ("ProcessTerminated", 7, None, 7 << 8)
    assert next(event for event in child.trace if event[0] == "lost") == ("lost", 1)


def test_itWritesAfterItsInputIsFull(world: Children) -> None:
    """Data that cannot be sent now is sent when the child reads: 3 MiB before it has read any."""
    data = os.urandom(3 * MIB)

    def made(child: Any) -> None:
        child.transport.write(data)
        child.transport.closeStdin()

    assert result(world, "cat", {"made": made})["received"] == {1: data}


def test_weCloseItsOutput(world: Children) -> None:
    """It dies of SIGPIPE, which this interpreter ignores and the child does not."""
    summary = result(world, "while echo y; do :; done", {"data": lambda child, fd: child.transport.closeStdout()})
    assert summary["how"] == ("ProcessTerminated", None, signal.SIGPIPE, signal.SIGPIPE)


def test_loseConnection(world: Children) -> None:
    """All three are closed, after what was written."""

    def made(child: Any) -> None:
        child.transport.write(b"exit 5\n")
        child.transport.loseConnection()
        child.transport.loseConnection()

    child = world.spawn(SHELL, hooks={"made": made})
    assert world.ended(child)["how"][1] == 5
    assert [event for event in child.trace if event[0] in ("lost", "data")] != []
    assert ("data", 1) not in child.trace


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "HUP", signal.SIGUSR1])
def test_signalProcess(world: Children, name: str | int) -> None:
    number = name if isinstance(name, int) else signal.Signals[f"SIG{name}"]
    child = world.shell("echo up; exec cat", {"data": lambda child, fd: child.transport.signalProcess(name)})
    assert world.ended(child)["how"] == ("ProcessTerminated", None, number, number)
    with pytest.raises(world.side.error.ProcessExitedAlready):
        child.transport.signalProcess(name)


def test_signalNames(epoll: Children) -> None:
    child = epoll.spawn("/bin/cat")
    for wrong in ("NONE", "SIGNONE", ""):
        with pytest.raises(ValueError, match="there is no signal"):
            child.transport.signalProcess(wrong)
    child.transport.signalProcess("SIGUSR2")
    assert epoll.ended(child)["how"][2] == signal.SIGUSR2


def test_signalToNobody(epoll: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has ended, and we have not been told yet."""
    child = epoll.spawn("/bin/cat")

    def kill(pid: int, number: int) -> None:
        assert pid == child.transport.pid
        raise ProcessLookupError

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", kill)
        with pytest.raises(ProcessExitedAlready):
            child.transport.signalProcess("KILL")
    child.transport.signalProcess("KILL")
    epoll.ended(child)


# The child's arguments, environment, directory and user.


def test_arguments(world: Children) -> None:
    """The first is the program's own name; bytes go as well."""
    protocol = world.kind({})
    world.reactor.spawnProcess(protocol, SHELL.encode(), [b"me", b"-c", b'echo "$0" "$@"', b"a b", b"\xff"], None)
    assert world.ended(protocol)["received"] == {1: b"a b \xff\n"}


def test_noArguments(epoll: Children) -> None:
    """Its own name then; Twisted refuses."""
    protocol = epoll.kind({"made": lambda child: child.transport.loseConnection()})
    epoll.reactor.spawnProcess(protocol, SHELL)
    assert epoll.ended(protocol)["how"][0] == "ProcessDone"


def test_environment(world: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_OURS", "inherited")
    script = "echo $OF_OURS $OF_ITS"
    assert result(world, script, env=None)["received"] == {1: b"inherited\n"}
    assert result(world, script, env={"OF_ITS": "given"})["received"] == {1: b"given\n"}
    assert result(world, script, env={})["received"] == {1: b"\n"}


def test_environmentByDefault(world: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_OURS", "inherited")
    protocol = world.kind({})
    world.reactor.spawnProcess(protocol, SHELL, [SHELL, "-c", "echo $OF_OURS"])
    assert world.ended(protocol)["received"] == {1: b"\n"}


def test_directory(world: Children, tmp_path: pathlib.Path) -> None:
    assert result(world, "pwd", path=str(tmp_path))["received"] == {1: f"{tmp_path}\n".encode()}


def test_programsAreFoundAlongItsPath(epoll: Children, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "ourprogram"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o700)
    child = epoll.spawn("ourprogram", env={"PATH": f"/nowhere:{tmp_path}"})
    assert epoll.ended(child)["received"] == {1: b"found\n"}


def test_whatCannotBeStarted(world: Children, tmp_path: pathlib.Path) -> None:
    """An OSError, and the protocol hears nothing."""
    (tmp_path / "text").write_text("no program")
    for name, error in (("nothing", FileNotFoundError), ("text", PermissionError)):
        protocol = world.kind({})
        with pytest.raises(error):
            world.reactor.spawnProcess(protocol, str(tmp_path / name), ["x"], None)
        assert protocol.trace == []
    assert not world.reactor.getReaders() or world.side is TWISTED


def test_directoryThatIsNot(epoll: Children, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        epoll.shell("exit 0", path=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError):
        epoll.shell("exit 0", path=str(tmp_path / "nowhere"), usePTY=True)


def test_otherUser(epoll: Children) -> None:
    """With the groups of that user, not with ours."""
    script = "id -u; id -g; id -G"
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            epoll.shell(script, uid=os.geteuid() + 1)
        return
    assert result(epoll, script, uid=65534, gid=65534)["received"] == {1: b"65534\n65534\n65534\n"}
    assert result(epoll, script, uid=1234567, gid=7)["received"] == {1: b"1234567\n7\n7\n"}
    assert result(epoll, script, uid=65534)["received"][1].split()[0] == b"65534"
    groups = result(epoll, script, gid=7)["received"][1].split()
    assert groups[:2] == [b"0", b"7"]


# Descriptors.


def test_otherDescriptors(world: Children, tmp_path: pathlib.Path) -> None:
    """Pipes at any number, and a file of ours."""

    def made(child: Any) -> None:
        child.transport.writeToChild(4, b"four")
        child.transport.closeChildFD(4)

    with open(tmp_path / "file", "w+b") as file:
        table = {0: "w", 1: "r", 2: "r", 3: "r", 4: "w", 9: file.fileno()}
        summary = result(world, "cat <&4 >&3; echo nine >&9", {"made": made}, childFDs=table)
        file.seek(0)
        assert file.read() == b"nine\n"
    assert summary == {"received": {3: b"four"}, "lost": [0, 1, 2, 3, 4], "how": ("ProcessDone", 0, None, 0)}


def test_descriptorsChangePlaces(world: Children, tmp_path: pathlib.Path) -> None:
    """Ours are given to the child under each other's numbers, one of them twice, and under a number that is free."""
    with open(tmp_path / "a", "w+b") as one, open(tmp_path / "b", "w+b") as two:
        a, b = one.fileno(), two.fileno()
        table = {0: "w", 1: b, 2: a, a: b, b: a, 90: b, 91: "r"}
        script = "import os, sys\nfor fd in (1, 2, *map(int, sys.argv[1:]), 90, 91): os.write(fd, b'%d ' % fd)"
        child = world.python(script, str(a), str(b), childFDs=table)
        assert world.ended(child)["received"] == {91: b"91 "}
        for file, numbers in ((one, (2, b)), (two, (1, a, 90))):
            file.seek(0)
            assert file.read() == "".join(f"{number} " for number in numbers).encode()


def test_descriptorThatStays(world: Children, tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        number = file.fileno()
        child = world.python(f"import os; os.write({number}, b'here')", childFDs={number: number})
        assert world.ended(child)["lost"] == []
        file.seek(0)
        assert file.read() == b"here"


def test_nothingElseIsInherited(world: Children) -> None:
    """Not even what is inheritable."""
    reading, writing = os.pipe()
    try:
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        others = [world.spawn("/bin/cat") for _ in range(3)]
        found = result(world, "ls /proc/$$/fd")["received"][1].split()
        assert set(found) <= {b"0", b"1", b"2", b"10"}  # 10: dash's own copy of its script
        for other in others:
            other.transport.loseConnection()
        world.ended(*others)
    finally:
        os.close(reading)
        os.close(writing)


def test_everythingOfOursIsClosedOnExec(epoll: Children) -> None:
    """A program that somebody else starts, without closing anything, gets none of our descriptors."""
    before = set(os.listdir("/dev/fd"))
    kept = [epoll.spawn("/bin/cat"), epoll.spawn("/bin/cat", usePTY=True), epoll.shell("cat <&5", childFDs={5: "w"})]
    ours = {int(name) for name in set(os.listdir("/dev/fd")) - before if os.path.exists(f"/dev/fd/{name}")}
    assert len(ours) >= 7  # of three pipes, a terminal, a pipe, and three pidfds
    assert [fd for fd in ours if os.get_inheritable(fd)] == []
    kept[0].transport.loseConnection()
    kept[1].transport.loseConnection()
    kept[2].transport.closeChildFD(5)
    epoll.ended(*kept)


def test_whatIsLeftOutIsNull(epoll: Children) -> None:
    script = "ls -l /proc/self/fd/0 /proc/self/fd/2 | grep -c /dev/null"
    assert result(epoll, script, childFDs={1: "r"}) == {
        "received": {1: b"2\n"},
        "lost": [1],
        "how": ("ProcessDone", 0, None, 0),
    }


@pytest.mark.parametrize("table", [{0: "x"}, {-1: "r"}, {1: -1}, {1: None}])
def test_wrongDescriptors(epoll: Children, table: Any) -> None:
    with pytest.raises(ValueError, match="childFDs maps"):
        epoll.shell("exit 0", childFDs=table)


@pytest.mark.parametrize("number", [1, 5, 9999])
def test_descriptorThatIsClosed(epoll: Children, number: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        epoll.shell("exit 0", childFDs={0: "w", number: 9999})


def test_noDescriptorLeft(epoll: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipes that were made already are closed, as the fixture of all tests sees."""
    make = os.pipe
    made: list[tuple[int, int]] = []

    def pipe() -> tuple[int, int]:
        if len(made) == 2:
            raise OSError(24, "Too many open files")
        made.append(make())
        return made[-1]

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="Too many"):
        epoll.shell("exit 0")
    for fd in (*made[0], *made[1]):
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_methodsWithoutAPipe(world: Children) -> None:
    producer = Producer()

    def made(child: Any) -> None:
        transport = child.transport
        transport.write(b"nowhere")
        transport.writeSequence([b"nowhere"])
        transport.registerProducer(producer, True)
        transport.unregisterProducer()
        transport.closeStdin()
        transport.closeChildFD(77)
        with pytest.raises(KeyError):
            transport.writeToChild(0, b"")

    assert result(world, "echo x", {"made": made}, childFDs={1: "r"})["received"] == {1: b"x\n"}
    assert producer.trace == ["stop"]


def test_noWritingToItsOutput(epoll: Children) -> None:
    child = epoll.shell("exit 0")
    with pytest.raises(KeyError):
        child.transport.writeToChild(1, b"x")
    epoll.ended(child)


# Terminals.


@pytest.mark.parametrize("given", [False, True])
def test_terminal(world: Children, given: bool) -> None:
    """It is the child's controlling one, and everything comes as from its standard output."""
    usePTY = (*os.openpty(), "name") if given else True
    script = "test -t 0 && test -t 1 && test -t 2 && echo heard >/dev/tty; read x; echo got $x; exit 4"

    def data(child: Any, fd: int) -> None:
        if b"heard" in child.received[1] and b"line" not in child.received[1]:
            child.transport.write(b"line\n")

    child = world.shell(script, {"data": data}, usePTY=usePTY)
    summary = world.ended(child)
    assert b"got line" in child.received[1]
    assert (summary["lost"], summary["how"]) == ([], ("ProcessTerminated", 4, None, 4 << 8))


def test_theTerminalIsClosed(world: Children) -> None:
    """The child gets SIGHUP; methods about single descriptors do nothing."""

    def data(child: Any, fd: int) -> None:
        for method in ("closeStdin", "closeStdout", "closeStderr", "loseConnection", "loseConnection"):
            getattr(child.transport, method)()
        with pytest.raises(NotImplementedError):
            child.transport.writeToChild(0, b"")

    child = world.shell("echo up; read x", {"data": data}, usePTY=True)
    assert world.ended(child)["how"] == ("ProcessTerminated", None, signal.SIGHUP, signal.SIGHUP)


def test_aTerminalPauses(ours: Children) -> None:
    def made(child: Any) -> None:
        child.transport.closeChildFD(1)
        child.transport.pauseProducing()

    child = ours.shell("echo first", {"made": made}, usePTY=True)
    ours.until(lambda: child.exited)
    assert child.received == {}
    child.transport.resumeProducing()
    assert ours.ended(child)["received"] == {1: b"first\r\n"}
    child.transport.resumeProducing()


def test_aTerminalHasNoPipes(world: Children) -> None:
    with pytest.raises(ValueError, match="childFDs"):
        world.shell("exit 0", usePTY=True, childFDs={1: "r"})


def test_theGivenTerminalStaysOurs(epoll: Children) -> None:
    """... if the child cannot be started."""
    given = os.openpty()
    with pytest.raises(FileNotFoundError):
        epoll.spawn("/nowhere/program", usePTY=(*given, "name"))
    for fd in given:
        os.close(fd)


def test_theGivenTerminalKeepsItsNumber(epoll: Children) -> None:
    """As with Twisted: the program may go on to set the size of its window, and another file gets another number."""
    ours, theirs = os.openpty()
    child = epoll.shell("read line; stty size", usePTY=(ours, theirs, os.ttyname(theirs)))
    assert child.transport.fileno() == ours
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    child.transport.write(b"\n")
    assert epoll.ended(child)["received"][1].endswith(b"40 100\r\n")
    assert child.transport.fileno() == -1
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(ours)


# Much of it.


class Pushing:
    """Writes pieces until it is paused."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces
        self.paused = False
        self.most = 0
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        while self.pieces and not self.paused:
            self.transport.write(self.pieces.pop())
        if not self.pieces:
            self.transport.unregisterProducer()
            self.transport.closeStdin()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        raise AssertionError("the child has ended")


def test_sixteenMiBThroughCat(world: Children) -> None:
    """In and out at once, the producer paused whenever the child is slower."""
    pieces = [os.urandom(MIB // 16) for _ in range(256)]
    sent = hashlib.sha256(b"".join(reversed(pieces))).digest()
    child = world.spawn("/bin/cat", hooks={"made": lambda child: Pushing(child.transport, pieces)})
    assert world.ended(child)["how"][0] == "ProcessDone"
    assert len(child.received[1]) == 16 * MIB
    assert hashlib.sha256(child.received[1]).digest() == sent


def test_pullProducer(world: Children) -> None:
    pieces = [b"1", b"2", b"3"]

    def made(child: Any) -> None:
        def resume() -> None:
            if pieces:
                child.transport.write(pieces.pop(0))
            else:
                child.transport.unregisterProducer()

        child.transport.registerProducer(Producer(resume=resume), False)
        child.transport.closeStdin()

    assert result(world, "cat", {"made": made})["received"] == {1: b"123"}


def test_theProducerIsStopped(world: Children) -> None:
    """When the child closes its input."""
    producer = Producer()
    hooks = {"made": lambda child: child.transport.registerProducer(producer, True)}
    result(world, "exit 0", hooks)
    assert producer.trace == ["stop"]


def test_whatAProducerRaises(epoll: Children, caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> None:
        raise ZeroDivisionError

    producer = Producer(resume=wrong, stop=wrong)

    def made(child: Any) -> None:
        child.transport.writeSequence(bytes(MIB) for _ in range(1))
        child.transport.registerProducer(producer, True)
        child.transport.write(bytes(1))

    child = epoll.shell("cat >/dev/null", {"made": made})
    assert epoll.ended(child)["how"][0] == "ProcessDone"
    assert producer.trace == ["pause", "resume", "stop"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError] * 2


def test_aChildThatDoesNotRead(ours: Children, caplog: pytest.LogCaptureFixture) -> None:
    """Its input is closed when more than 16 MiB wait for it."""
    child = ours.shell("read x <&3", childFDs={0: "w", 3: "w"})
    for _ in range(18):
        child.transport.write(bytes(MIB))
    assert child.trace == [("made",)]
    ours.until(lambda: ("lost", 0) in child.trace)
    assert "does not read" in caplog.text
    child.transport.write(b"nothing")
    child.transport.writeToChild(3, b"\n")
    assert ours.ended(child)["how"] == ("ProcessDone", 0, None, 0)


def test_pauses(world: Children) -> None:
    """Nothing comes while paused, not even the end of the output."""

    def made(child: Any) -> None:
        child.transport.pauseProducing()

    child = world.shell("echo first; echo second >&2", {"made": made})
    world.until(lambda: child.exited)
    assert child.received == {}
    child.transport.resumeProducing()
    assert world.ended(child)["received"] == {1: b"first\n", 2: b"second\n"}


def test_noReadingAfterClosing(ours: Children) -> None:
    """resumeProducing does not undo closeStdout."""

    def made(child: Any) -> None:
        child.transport.closeStdout()
        child.transport.resumeProducing()
        child.transport.stopProducing()

    assert result(ours, "cat; echo x", {"made": made})["received"] == {}


def test_fiveHundredAtOnce(epoll: Children) -> None:
    """Each end is told once, none is left as a zombie, no descriptor stays."""
    before = len(os.listdir("/dev/fd"))
    gate, theirs = os.pipe()
    script = "read x <&9; exit $1"
    protocols = []
    for number in range(500):
        table = {1: "r", 9: gate}
        protocols.append(epoll.spawn(SHELL, "-c", script, "x", str(number % 256), childFDs=table))
    os.close(gate)
    os.close(theirs)  # all of them at once find the end
    epoll.ended(*protocols)
    codes = [protocol.summary()["how"][1] for protocol in protocols]
    assert codes == [number % 256 for number in range(500)]
    assert len(os.listdir("/dev/fd")) == before


# Exceptions of callbacks.


@pytest.mark.parametrize("event", ["made", "lost", "exited", "ended"])
def test_callbacksThatRaise(world: Children, event: str, caplog: pytest.LogCaptureFixture) -> None:
    """The child goes on, and everything is told."""

    def wrong(child: Any, *details: Any) -> None:
        raise ZeroDivisionError

    summary = result(world, "echo out", {event: wrong})
    assert summary == {"received": {1: b"out\n"}, "lost": [0, 1, 2], "how": ("ProcessDone", 0, None, 0)}
    if world.side is not TWISTED:
        found = [record for record in caplog.records if record.exc_info and record.exc_info[0] is ZeroDivisionError]
        assert len(found) == (3 if event == "lost" else 1)


def test_dataReceivedRaises(world: Children, caplog: pytest.LogCaptureFixture) -> None:
    """That descriptor is closed, and only that."""

    def wrong(child: Any, fd: int) -> None:
        if fd == 1:
            raise ZeroDivisionError

    summary = result(world, "echo out; cat <&3; echo err >&2", {"data": wrong, "lost": endThree}, childFDs=FOUR)
    assert summary["received"] == {1: b"out\n", 2: b"err\n"}
    if world.side is not TWISTED:
        assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]


FOUR = {0: "w", 1: "r", 2: "r", 3: "w"}


def endThree(child: Any, fd: int) -> None:
    if fd == 1:
        child.transport.closeChildFD(3)


def test_terminalDataRaises(ours: Children, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(child: Any, fd: int) -> None:
        raise ZeroDivisionError

    assert result(ours, "echo out; read x", {"data": wrong}, usePTY=True)["how"][2] == signal.SIGHUP
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]
