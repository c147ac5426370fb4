"""The server that scenes of faults are played with, its clients, and the alarm that ends a fault.

A signal's handler ends the fault once the loop sleeps, and looks whether the scene is over. The fault would hit any
other code that could do so. It would hit the handler, too, in the middle of the code that it interrupts, if it came at
any other time. So another process sends the signal: the Alarm.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from reactor import CertificateOptions, DatagramProtocol, LineReceiver, ServerFactory
from reactor.loops.epoll import EpollReactor
from reactor.tlsoptions import RELOAD_INTERVAL
from tests.conftest import openFiles
from tests.support.tlsworlds import CA, HOST, TRUST, pemOf, write
from tests.support.worlds import LOOPBACK

Arm = Callable[[], object]

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
        command = [sys.executable, "-S", "-c", ALARM, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

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

    def run(self, until: Callable[..., object], begin: Callable[[], object] = lambda: None) -> bool:
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
        self.raised = False  # the code that catches it sets this, without a call, as that could fail too

    def append(self, what: Any) -> None:
        while True:
            try:
                super().append(what)
                return
            except MemoryError:
                continue


_acceptFailed = [False]
lostSockets = [0]  # how many CPython may have lost in this way


def _accept(self: socket.socket) -> Any:
    try:
        return socket.SocketType._accept(self)  # type: ignore[attr-defined]
    except MemoryError:
        _acceptFailed[0] = True
        lostSockets[0] += 1
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
        """Return the data that has come: None if there is none yet, no bytes if the end has come."""
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
