"""Threads at once: reactors side by side, and what happens if the rule of one thread is broken. Never is it a crash.

The rule: a reactor, its connections and its Deferreds belong to the thread that runs it. Without the GIL these tests
find races; with it they show that the same code is right. Each test ends by its own count.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from typing import Any

import pytest

from reactor import EpollReactor, LineReceiver, ServerFactory
from reactor.defer import AlreadyCalledError, Deferred, chain
from reactor.linecore import Disconnectable, LineBuffer, OutputBuffer, Tally
from reactor.linecore import _locked as locked

DEADLINE = 60.0
THREADS = 2
ROUNDS = 20
WRITES = 150
LINES = 200
BURST = 20  # lines between two answers, and calls between two looks


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Run each of `works` in a thread, all from the same moment on; return what they raised."""
    barrier = threading.Barrier(len(works))
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        barrier.wait(DEADLINE)
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a thread hangs"
    return raised


class Gathering(OutputBuffer):
    """A transport that only gathers."""

    def _passedMark(self, added: int) -> None:
        pass


class LockedGathering(locked.OutputBuffer):
    def _passedMark(self, added: int) -> None:
        pass


BUFFERS: list[Any] = [Gathering, LockedGathering]


@pytest.mark.parametrize("kind", BUFFERS)
def test_twoThreadsThatWriteOneTransportLoseNoByte(kind: Any) -> None:
    for _ in range(ROUNDS):
        output = kind()

        def write(piece: bytes, output: Any = output) -> None:
            for _ in range(WRITES):
                output.write(piece)

        assert together(lambda: write(b"a" * 97), lambda: write(b"b" * 97)) == []
        written = bytes(output._front())
        whole = [written[at : at + 97] for at in range(0, len(written), 97)]
        assert sorted(whole) == [b"a" * 97] * WRITES + [b"b" * 97] * WRITES


@pytest.mark.parametrize("kind", BUFFERS)
def test_aWriteWhileTheBytesAreSentKeepsAll(kind: Any) -> None:
    for _ in range(ROUNDS):
        output, sent, isOver = kind(), bytearray(), threading.Event()

        def write(output: Any = output, isOver: threading.Event = isOver) -> None:
            for number in range(WRITES):
                output.write(b"%0100d" % number)
            isOver.set()

        def send(output: Any = output, sent: bytearray = sent, isOver: threading.Event = isOver) -> None:
            while not isOver.is_set() or output.unsent:
                front = output._front()
                if front is not None:
                    with memoryview(front) as held:
                        taken = bytes(held[:250])
                    sent += taken
                    output._drop(len(taken))

        assert together(write, send) == []
        assert bytes(sent) == b"".join(b"%0100d" % number for number in range(WRITES))


@pytest.mark.parametrize("kind", [LineBuffer, locked.LineBuffer])
def test_aBufferThatTwoThreadsFeedGivesWholeLines(kind: Any) -> None:
    for _ in range(ROUNDS):
        buffer = kind(b"\n")
        got: list[bytes] = []

        def feed(letter: bytes, buffer: Any = buffer, got: list[bytes] = got) -> None:
            for number in range(LINES):
                buffer.feed(b"%b%d\n" % (letter, number))
                if number % BURST == 0:
                    got += buffer

        assert together(lambda: feed(b"a"), lambda: feed(b"b")) == []
        got += buffer
        assert sorted(got) == sorted(b"%b%d" % (letter, number) for letter in (b"a", b"b") for number in range(LINES))
        assert (len(buffer), buffer.lineCount) == (0, len(got))


@pytest.mark.parametrize("kind", [LineBuffer, locked.LineBuffer])
def test_whateverTwoThreadsCallOnABuffer(kind: Any) -> None:
    """Every method, in two threads: what comes out is anybody's, and nothing breaks."""
    buffer = kind(b"\n", 50)

    def call(letter: bytes) -> None:
        for number in range(LINES):
            buffer.feed(letter * (number % 70) + b"\n" + letter * 3)
            buffer.delimiter = b"\n" if number % 7 else b"\r\n"
            buffer.cut(buffer.delimiter)
            buffer.stripCR, buffer.maxLength = number % 2, 50 + number % 3
            if buffer.exceeded:
                buffer.skip()
            buffer.lines(True), buffer.peek(), len(buffer), buffer.holds, buffer.skipping
            buffer.split(letter, b"\n").rest()
            buffer.take(number % 5)
            if number % 31 == 0:
                buffer.clear()

    assert together(lambda: call(b"a"), lambda: call(b"b")) == []
    buffer.clear()
    assert (len(buffer), buffer.peek()) == (0, b"")


class Kept(LineReceiver):
    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.MAX_LENGTH = 100 + len(self.lines) % 2


def test_aReceiverThatTwoThreadsFeedDeliversEachLineOnce() -> None:
    for _ in range(ROUNDS):
        receiver = Kept()
        receiver.transport = None  # type: ignore[assignment]

        def feed(letter: bytes, receiver: Kept = receiver) -> None:
            for number in range(LINES):
                receiver.dataReceived(b"%b%d\n" % (letter, number))

        assert together(lambda: feed(b"a"), lambda: feed(b"b")) == []
        receiver.dataReceived(b"")
        expected = sorted(b"%b%d" % (letter, number) for letter in (b"a", b"b") for number in range(LINES))
        assert sorted(receiver.lines) == expected


def test_firstInstancesOfAClassInTwoThreadsHaveTheirOwnSettings() -> None:
    for _ in range(ROUNDS):

        class New(LineReceiver):
            delimiter = b"\n"

            def lineReceived(self, line: bytes) -> None:
                self.got = [*getattr(self, "got", []), line]

        made: list[Any] = []

        def make(delimiter: bytes, New: Any = New, made: list[Any] = made) -> None:
            receiver = New()
            receiver.delimiter = delimiter
            receiver.transport = None
            receiver.dataReceived(b"one" + delimiter + b"two" + delimiter)
            made.append(receiver)

        assert together(*(lambda each=each: make(each) for each in (b"|", b";", b"\0"))) == []
        assert [receiver.got for receiver in made] == [[b"one", b"two"]] * 3


def test_transportsThatCloseInTwoThreadsAreCounted() -> None:
    transports = [Disconnectable() for _ in range(THREADS * LINES)]
    tally, whole = Tally(), Tally()
    tally.whole = whole

    def close(which: int) -> None:
        for transport in transports[which::THREADS]:
            transport.disconnecting = True
            assert transport.disconnecting
            tally.addRequest()
            tally.addLines(1)

    assert together(*(lambda each=each: close(each) for each in range(THREADS))) == []
    assert all(transport.disconnecting for transport in transports)
    assert tally.requests <= THREADS * LINES
    tally.leave()
    assert tally.whole is None


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)
        if line == b"bye":
            self.transport.loseConnection()


def test_twoReactorsInTwoThreadsServeTheirOwnClients() -> None:
    """Each with a client that writes a burst, reads the answers, and comes again after its end."""
    answers: list[list[bytes]] = [[] for _ in range(THREADS)]
    expected = b"".join(b"%d\n" % number for number in range(LINES)) + b"bye\n"

    def serve(which: int) -> None:
        reactor = EpollReactor()
        port: Any = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
        place = ("127.0.0.1", port.getHost().port)

        def ask() -> None:
            try:
                for _ in range(5):
                    with socket.create_connection(place, DEADLINE) as client:
                        client.sendall(expected)
                        with client.makefile("rb") as answer:
                            answers[which].append(answer.read())
            finally:
                reactor.callFromThread(reactor.stop)

        reactor.callInThread(ask)
        reactor.run(installSignalHandlers=False)
        reactor.close()

    assert together(*(lambda each=each: serve(each) for each in range(THREADS))) == []
    assert answers == [[expected] * 5] * THREADS


def test_aStormOfCallsFromThreadsIsMadeInOrder() -> None:
    reactor = EpollReactor()
    seen: list[list[int]] = [[] for _ in range(THREADS)]

    def call(numbers: list[int]) -> None:
        for number in range(WRITES * BURST):
            reactor.callFromThread(numbers.append, number)

    def run() -> None:
        while any(len(numbers) < WRITES * BURST for numbers in seen):
            reactor.iterate(0.02)

    assert together(run, *(lambda numbers=numbers: call(numbers) for numbers in seen)) == []
    assert seen == [list(range(WRITES * BURST))] * THREADS
    reactor.close()


def test_aDeferredThatTwoThreadsFireTellsOneOfThem(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two is the first, and the other gets AlreadyCalledError."""
    monkeypatch.setattr(chain, "_LOCKS", (threading.Lock(), threading.Lock()))  # with the GIL there are none
    for number in range(ROUNDS):
        deferred: Deferred[Any] = Deferred()
        got: list[Any] = []
        deferred.addCallback(got.append)
        raised = together(*(lambda each=each, deferred=deferred: deferred.callback(each) for each in range(THREADS)))
        assert len(got) == 1, number
        assert len(raised) == THREADS - 1
        assert all(isinstance(error, AlreadyCalledError) for error in raised)


def test_writesOfTwoThreadsReachThePeer() -> None:
    """Not allowed, as a write from another thread does not wake the loop; but what is written comes, whole."""
    reactor = EpollReactor()
    ours, theirs = socket.socketpair()
    made: list[Any] = []

    class Keeping(LineReceiver):
        def connectionMade(self) -> None:
            made.append(self.transport)

    with ours:
        reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(Keeping))
    isOver = threading.Event()

    def write(letter: bytes) -> None:
        for _ in range(WRITES):
            made[0].write(letter * 99 + b"\n")

    def run() -> None:
        while not isOver.is_set():
            reactor.iterate(0.005)

    def read() -> bytes:
        received = b""
        theirs.settimeout(DEADLINE)
        try:
            while len(received) < 2 * WRITES * 100:
                received += theirs.recv(65536)
        finally:
            isOver.set()
        lines = received.split(b"\n")
        assert sorted(lines) == [b"", *[b"a" * 99] * WRITES, *[b"b" * 99] * WRITES]
        return received

    assert together(run, read, lambda: write(b"a"), lambda: write(b"b")) == []
    with contextlib.closing(theirs):
        made[0].abortConnection()
        reactor.iterate(0)
    reactor.close()


def test_theImportLeavesTheGILAsItIs() -> None:
    """A free-threaded Python turns the GIL on for an extension that does not declare that it works without."""
    program = "import sys, reactor; print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    hasGIL = not sysconfig.get_config_var("Py_GIL_DISABLED") or os.environ.get("PYTHON_GIL") == "1"
    assert (done.stdout, done.stderr) == (f"{hasGIL}\n", "")
