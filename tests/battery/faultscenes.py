"""What a server does while something is refused to it: one scene for each thing that can happen, and what must follow.

A scene is called with a Server and `arm`, which begins the fault, whatever that is. It returns what went wrong, None if
nothing did: what a fault costs is at most the operation that it hit. `disarm`, given to the Server, ends the fault.

A signal's handler ends the fault once the loop sleeps, and looks whether the scene is over. Whatever else could do so
would be hit itself; and so would the handler be, in the middle of what it interrupts, if it came at any other time. So
another process sends the signal: the Alarm.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from reactor import (
    CertificateOptions,
    ClientFactory,
    DatagramProtocol,
    LineReceiver,
    ProcessProtocol,
    Protocol,
    ServerFactory,
)
from reactor.loops.epoll import EpollReactor
from reactor.tlsoptions import RELOAD_INTERVAL
from tests.conftest import openFiles
from tests.harness import LOOPBACK
from tests.tlsharness import CA, HOST, TRUST, pemOf, write

Arm = Callable[[], object]
Scene = Callable[["Server", Arm], str | None]

PATIENCE = 3.0

# How long the loop must have slept for the alarm to ring, in seconds, and after which time it rings in any case.
ASLEEP, AWAKE = 0.004, 0.5
ALARM = """
import os, signal, sys, time
pid, asleep, awake = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
since = last = time.monotonic()
while os.getppid() == pid:
    time.sleep(asleep / 4)
    with open(f"/proc/{pid}/wchan") as file:
        sleeps = file.read() in ("do_epoll_wait", "ep_poll")
    now = time.monotonic()
    since = since if sleeps else now
    if now - max(since, last) > asleep or now - last > awake:
        os.kill(pid, signal.SIGALRM)
        last = now
"""


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Certificates:
    """A file of a certificate, which is renewed, and the options that read it by a clock of their own."""

    def __init__(self) -> None:
        self._pems = [pemOf(CA.issue_cert(HOST)) for _ in range(2)]
        self._written = 0
        self.time = 0.0
        self.path = write("renewed.pem", self._pems[0])
        self.options = CertificateOptions(self.path, seconds=lambda: self.time)

    def renew(self) -> bytes:
        """Write the other certificate, let the options look again, and return it as a client sees it."""
        self._written += 1
        pem = self._pems[self._written % len(self._pems)]
        write("renewed.pem", pem)
        self.time += RELOAD_INTERVAL * 2
        return ssl.PEM_cert_to_DER_cert(pem[: pem.index(b"-----BEGIN", 1)].decode())


class Alarm:
    """A process that sends SIGALRM to this one whenever it sleeps in epoll. `look` is called for it, if it is set."""

    def __init__(self) -> None:
        self.look: Callable[[], object] | None = None
        signal.signal(signal.SIGALRM, self._ring)
        arguments = [str(each) for each in (os.getpid(), ASLEEP, AWAKE)]
        self._process = subprocess.Popen([sys.executable, "-S", "-c", ALARM, *arguments])

    def otherChildren(self) -> set[int]:
        """The numbers of all children but the alarm's own."""
        with open(f"/proc/self/task/{os.getpid()}/children") as found:
            return {int(number) for number in found.read().split()} - {self._process.pid}

    def _ring(self, *_: object) -> None:
        if self.look is not None:
            self.look()


@functools.cache
def theAlarm() -> Alarm:
    """One is enough for a process."""
    return Alarm()


class Server:
    """A reactor that listens, and what the scenes need of it."""

    def __init__(self, side: Any, disarm: Callable[[], object]) -> None:
        self.alarm = theAlarm()
        self.loop = side.makeReactor()
        self.close = lambda: side.close(self.loop)
        self.disarm = disarm
        self.factory = ServerFactory.forProtocol(Echo)
        self.factory.noisy = False
        self.port = self.loop.listenTCP(0, self.factory, interface=LOOPBACK)
        self.number = self.port.getHost().port
        self.datagrams = list[bytes]()
        self.udp = self.loop.listenUDP(0, self._datagramProtocol(), LOOPBACK)
        self.certificates = Certificates()
        self.tlsPort = self.loop.listenSSL(0, self.factory, self.certificates.options, interface=LOOPBACK)

    def _datagramProtocol(self) -> Any:
        came = self.datagrams

        class Noting(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                came.append(datagram)

        return Noting()

    def run(self, until: Callable[[], object], begin: Callable[[], object] = lambda: None) -> bool:
        """Run, with `begin` as the first call, until `until` is true; False if it does not become so."""
        nudge = time.monotonic() + 0.1
        end = time.monotonic() + PATIENCE

        def look() -> None:
            self.disarm()
            if until() or time.monotonic() > end:
                self.loop.crash()
            elif time.monotonic() > nudge and not isinstance(self.loop, EpollReactor):
                self.loop._wake()  # an event loop that had no memory for a callback has forgotten it

        self.loop.callLater(0, begin)
        self.alarm.look = look
        try:
            self.loop.run(installSignalHandlers=False)
        finally:
            self.alarm.look = None
            self.disarm()
        return bool(until())


class Told(list[Any]):
    """A list that tries until there is memory for the next entry. `raised`: nothing had begun, as an exception told."""

    def __init__(self) -> None:
        self.raised = False  # set by whoever catches it, without a call, as that could fail too

    def append(self, what: Any) -> None:
        while True:
            try:
                super().append(what)
                return
            except MemoryError:
                continue


_acceptFailed = [False]


def _accept(self: socket.socket) -> Any:
    try:
        return socket.SocketType._accept(self)  # type: ignore[attr-defined]
    except MemoryError:
        _acceptFailed[0] = True
        raise


socket.socket._accept = _accept  # type: ignore[attr-defined]


class Peer:
    """A client's socket, which nothing of the server's process can be hit in but its own calls."""

    def __init__(self, server: Server, port: Any = None) -> None:
        _acceptFailed[0] = False
        self.sock = socket.create_connection((LOOPBACK, (port or server.port).getHost().port))
        self.sock.setblocking(False)
        self.got = bytearray()
        self.ended = False

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def read(self) -> bytes | None:
        """What has come; None if nothing, and nothing at all if the end has."""
        try:
            return self.sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def hears(self, size: int) -> bool:
        """Whether `size` bytes have come, or the end."""
        while not self.ended and len(self.got) < size:
            data = self.read()
            if data is None:
                return False
            self.got += data
            self.ended = not data
        return True

    def isLost(self, server: Server) -> bool:
        """Whether CPython itself has failed between accept4() and the end of _accept(), and left the socket open.

        Nobody else can know its number then: sock_accept makes a tuple of that and of the address, or MemoryError.
        """
        if not _acceptFailed[0]:
            return False
        known = {transport.fileno() for transport in server.loop.openTransports()}
        strangers = {number for number, file in openFiles().items() if file.startswith("socket:")} - known
        for number in strangers - {self.sock.fileno()}:
            found = socket.socket(fileno=number)
            with contextlib.suppress(OSError):
                if found.getpeername() == self.sock.getsockname():
                    found.close()
                    return True
            found.detach()
        return False

    def judge(self, server: Server, expected: bytes) -> str | None:
        if not expected.startswith(self.got):
            return f"wrong bytes: {bytes(self.got[:60])!r}"
        if self.got != expected and not self.ended and not self.isLost(server):
            return f"silent after {len(self.got)} bytes of {len(expected)}"
        return None


class TLSPeer:
    """A client that shakes hands, says a line and waits for it, or for the end."""

    def __init__(self, server: Server) -> None:
        self.peer = Peer(server, server.tlsPort)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=TRUST.decode())
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=HOST)
        self.got = bytearray()
        self.shown: bytes | None = None

    def isDone(self) -> bool:
        """Go on, as far as what has come allows."""
        if self.peer.ended or self.got.endswith(b"\n"):
            return True
        data = self.peer.read()
        if data == b"":
            self.peer.ended = True
        elif data:
            self._in.write(data)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLEOFError):
            if self.shown is None:
                self._tls.do_handshake()
                self.shown = self._tls.getpeercert(True)
                self._tls.write(b"hello\n")
            self.got += self._tls.read(100)
        self.peer.send(self._out.read())
        return self.peer.ended or self.got.endswith(b"\n")

    def visit(self, server: Server, begin: Arm = lambda: None) -> None:
        server.run(self.isDone, begin)
        self.peer.sock.close()


# The scenes.


def accept(server: Server, arm: Arm) -> str | None:
    peer = Peer(server)
    peer.send(b"hello\n")
    server.run(lambda: peer.hears(6), arm)
    problem = peer.judge(server, b"hello\n")
    peer.sock.close()
    return problem


def lines(server: Server, arm: Arm) -> str | None:
    peer = Peer(server)
    peer.send(b"first\n")
    server.run(lambda: peer.hears(6))
    server.run(lambda: peer.hears(206), lambda: (peer.send(b"x\n" * 100), arm()))
    problem = peer.judge(server, b"first\n" + b"x\n" * 100)
    peer.sock.close()
    return problem


@contextlib.contextmanager
def _serving(server: Server, protocol: Any) -> Iterator[None]:
    server.factory.protocol = protocol
    try:
        yield
    finally:
        server.factory.protocol = Echo


def send(server: Server, arm: Arm) -> str | None:
    """More than the kernel takes at once."""
    peer = Peer(server)
    data = b"y" * 400_000

    class Large(Protocol):
        def connectionMade(self) -> None:
            arm()
            self.transport.write(data)

    with _serving(server, Large):
        server.run(lambda: peer.hears(len(data)))
    problem = peer.judge(server, data)
    peer.sock.close()
    return problem


def close(server: Server, arm: Arm) -> str | None:
    left, lost, peer = Told(), Told(), Peer(server)

    class Leaving(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            left.append(line)
            arm()
            self.transport.loseConnection()

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    with _serving(server, Leaving):
        peer.send(b"go\n")
        server.run(lambda: peer.hears(1))
    if not peer.ended and not peer.isLost(server):
        return "the connection is not closed"
    peer.sock.close()
    return f"connectionLost came {len(lost)} times" if len(lost) != len(left) else None


def leave(server: Server, arm: Arm) -> str | None:
    """The peer closes."""
    made, lost, peer = Told(), Told(), Peer(server)

    class Staying(Protocol):
        def connectionMade(self) -> None:
            made.append(self.transport)

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    with _serving(server, Staying):
        server.run(lambda: made)
        server.run(lambda: lost, lambda: (peer.sock.close(), arm()))
    if made[0] in server.loop.openTransports():
        return f"the connection is still open, and connectionLost came {len(lost)} times"
    return f"connectionLost came {len(lost)} times" if len(lost) != 1 else None


def timers(server: Server, arm: Arm) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callLater(0.001 * (number % 3), ran.append, number)
                made.append(number)
            except Exception:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) <= set(made) | {7} else f"scheduled {made}, refused {refused}, ran {ran}"


def wakeUps(server: Server, arm: Arm) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callFromThread(ran.append, number)
                made.append(number)
            except Exception:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) and len(ran) == len(set(ran)) else f"taken {made}, made {ran}"


def connect(server: Server, arm: Arm) -> str | None:
    """The factory is told one end of what it was told the beginning of."""
    told = Told()

    class Asking(Protocol):
        def connectionMade(self) -> None:
            told.append("made")
            self.transport.loseConnection()

    class Client(ClientFactory):  # type: ignore[type-arg]
        noisy = False
        protocol = Asking

        def stopFactory(self) -> None:
            told.append("stopped")

    factory = Client()

    def begin() -> None:
        arm()
        try:
            server.loop.connectTCP(LOOPBACK, server.number, factory, timeout=1)
        except Exception:
            told.raised = True

    over = server.run(lambda: not factory.numPorts and (told.raised or "stopped" in told), begin)
    return None if over else f"never told of an end, but {told}"


def resolve(server: Server, arm: Arm) -> str | None:
    told = Told()

    def begin() -> None:
        arm()
        try:
            server.loop.resolve("localhost", timeout=1).addBoth(told.append)
        except Exception:
            told.raised = True

    return None if server.run(lambda: told or told.raised, begin) else "no answer"


def spawn(server: Server, arm: Arm) -> str | None:
    told = Told()

    class Child(ProcessProtocol):
        def processEnded(self, reason: Any) -> None:
            told.append("ended")

    def begin() -> None:
        arm()
        try:
            server.loop.spawnProcess(Child(), "/bin/true")
        except Exception:
            told.raised = True

    with _fork() as lost:
        over = server.run(lambda: told or told.raised, begin)
    left = server.alarm.otherChildren()
    for pid in left:
        os.waitpid(pid, 0)
    if not over:
        return "the child's end is not told"
    return f"a child is left, told {told}, raised {told.raised}" if left and not lost else None


@contextlib.contextmanager
def _fork() -> Iterator[list[bool]]:
    """The list is not empty if CPython's own fork_exec has failed.

    It makes an int of the child's number after the fork, and raises MemoryError if it cannot. That child lives, and
    nobody can know its number.
    """
    lost, real = list[bool](), subprocess._fork_exec  # type: ignore[attr-defined]

    def forkExec(*args: Any) -> Any:
        lost.append(True)
        pid = real(*args)
        lost.clear()
        return pid

    subprocess._fork_exec = forkExec  # type: ignore[attr-defined]
    try:
        yield lost
    finally:
        subprocess._fork_exec = real  # type: ignore[attr-defined]


def datagrams(server: Server, arm: Arm) -> str | None:
    del server.datagrams[:]
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect((LOOPBACK, server.udp.getHost().port))
        server.run(lambda: server.datagrams, lambda: (peer.send(b"x"), arm(), None)[2])
        if not server.datagrams:  # the one that was read without memory for it is lost, as datagrams may be
            peer.send(b"y")
            if not server.run(lambda: server.datagrams):
                return "the port is deaf"
    return None


def listen(server: Server, arm: Arm) -> str | None:
    ports = Told()
    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    told = Told()

    def begin() -> None:
        arm()
        try:
            ports.append(server.loop.listenTCP(0, factory, interface=LOOPBACK))
            told.append("listens")
        except Exception:
            told.raised = True

    server.run(lambda: told or told.raised, begin)
    for port in ports:
        port.stopListening()
        if not server.run(lambda port=port: not port.connected):
            return "the port does not stop"
    return f"a factory of a port that was refused counts {factory.numPorts}" if factory.numPorts else None


def rest(server: Server, arm: Arm) -> str | None:
    """The port rests, and its end is hit."""
    failures, real = [1], server.port.doRead

    def doRead() -> None:
        if failures:
            failures.pop()
            arm()
            raise OSError(errno.ENOMEM, "injected")
        real()

    server.port.doRead = doRead
    try:
        return accept(server, lambda: None)
    finally:
        del server.port.doRead


def renew(server: Server, arm: Arm) -> str | None:
    """The certificate is renewed: who comes then gets one that is whole, and the next the new one."""
    renewed, options, first = server.certificates.renew(), server.certificates.options, TLSPeer(server)
    real = options.getContext

    def getContext() -> ssl.SSLContext:
        del options.getContext
        arm()
        return real()

    options.getContext = getContext
    try:
        first.visit(server)
    finally:
        options.__dict__.pop("getContext", None)
    if not (first.peer.ended or first.got):
        return "the client is not served"
    server.certificates.time += RELOAD_INTERVAL * 2
    second = TLSPeer(server)
    second.visit(server)
    if second.got != b"hello\n":
        return "the next client is not served"
    return None if second.shown == renewed else "the renewed certificate is not shown"


SCENES: list[Scene] = [
    accept,
    lines,
    send,
    close,
    leave,
    timers,
    wakeUps,
    connect,
    resolve,
    spawn,
    datagrams,
    listen,
    rest,
    renew,
]


def illnessOf(server: Server) -> str | None:
    """What is wrong afterwards: the next client is not served, a call does not wake the loop, or it does not sleep."""
    woken, peer = list[int](), Peer(server)
    peer.send(b"well?\n")
    server.loop.callFromThread(woken.append, 1)
    server.run(lambda: peer.hears(6) and woken)
    peer.sock.close()
    if peer.got != b"well?\n" or not woken:
        return "the next client is not served" if woken else "the loop is not woken"
    for _ in range(3):  # an idle machine is not asked for: what else runs here may have had its share
        looks = iter(range(3))
        begin, worked = time.monotonic(), time.process_time()
        server.run(lambda looks=looks: next(looks, None) is None)
        worked, lasted = time.process_time() - worked, time.monotonic() - begin
        if worked < lasted * 0.6:
            return None
    return "the loop spins"
