"""A server whose system calls fail, and its peer, whose own never do: what the scenes of callscenes.py are played with.

The reactor runs in the main thread. Its peer is a thread that is exempt from the faults.
"""

from __future__ import annotations

import contextlib
import pathlib
import signal
import ssl
import tempfile
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import trustme

from reactor import (
    CertificateOptions,
    DatagramProtocol,
    LineReceiver,
    ServerFactory,
)
from reactor._numbers import closeNumber
from tests.battery.failing import Faults
from tests.support.tlsworlds import CA, HOST, TRUST, pemOf
from tests.support.worlds import LOOPBACK, dial

PATIENCE = 5.0  # seconds in which everything is over, whatever fails
SILENCE = 3.0  # seconds a peer waits for an answer

DONE = "done"  # the operation was done in full
FAILED = "failed"  # it has failed, and its caller was told so
BROKEN = (
    "broken"  # so has an event loop of uvloop's, that from now on takes itself for a running one, and cannot be closed
)
# Anything else that a scene returns is a fault.


class Hang(Exception):
    pass


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        if line == b"leave":
            self.transport.loseConnection()
        elif line == b"abort":
            self.transport.abortConnection()
        elif line == b"much":
            self.transport.write(b"y" * 400_000)
        else:
            self.sendLine(line)


class Passing(Echo):
    """Closes the descriptors that it gets."""

    def fileDescriptorReceived(self, descriptor: int) -> None:
        closeNumber(descriptor)


class EchoDatagrams(DatagramProtocol):
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        with contextlib.suppress(OSError):
            self.transport.write(datagram, addr)


def factoryOf(kind: Any) -> Any:
    factory = ServerFactory.forProtocol(kind)
    factory.noisy = False
    return factory


class Server:
    """A reactor with ports of every kind, a connection that stands all the while, and a thread that asks for things."""

    def __init__(self, side: Any, faults: Faults) -> None:
        self.faults = faults
        self.directory = tempfile.TemporaryDirectory(prefix="reactor-calls-")
        self.loop = loop = side.makeReactor()
        self.side = side
        self.port = loop.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)
        self.unix = loop.listenUNIX(self.path("s"), factoryOf(Echo))
        self.passing = loop.listenUNIX(self.path("passing"), factoryOf(Passing))
        self.udp = loop.listenUDP(0, EchoDatagrams(), LOOPBACK)
        self.unixDatagrams = loop.listenUNIXDatagram(self.path("d"), EchoDatagrams())
        self.now = 0.0
        self.issue()
        self.certificates = CertificateOptions(self.path("pem"), seconds=lambda: self.now)
        self.tls = loop.listenSSL(0, factoryOf(Echo), self.certificates, interface=LOOPBACK)
        self.bystander = dial(self.port)
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.trust.load_verify_locations(cadata=TRUST.decode())
        self.number = 0

    def path(self, name: str) -> str:
        return f"{self.directory.name}/{name}"

    def issue(self) -> trustme.LeafCert:
        """Write another certificate."""
        certificate = CA.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
        fresh = pathlib.Path(self.path("fresh"))
        fresh.write_bytes(pemOf(certificate))
        fresh.replace(self.path("pem"))
        return certificate

    def close(self) -> None:
        self.bystander.close()
        self.side.close(self.loop)
        self.directory.cleanup()

    def run(self, work: Callable[[], str], begin: Callable[[], object] = lambda: None) -> str:
        """Run, with `begin` as the first call, until `work`, in the peer's thread, has returned; return the same."""
        found = list[str]()

        def peer() -> None:
            with self.faults.exempt():
                try:
                    found.append(work())
                except Exception as error:
                    found.append(f"the peer's work ended in {error!r}")
                self.faults.disarm()
                self.loop.callFromThread(self.loop.crash)

        def first() -> None:
            with self.faults.exempt():
                threading.Thread(target=peer, daemon=True).start()
            begin()

        def late(_: int, frame: FrameType | None) -> None:
            self.faults.disarm()
            found.insert(0, "it hangs" if found else "it hangs, and so does the peer")
            self.loop.crash()
            raise Hang

        signal.signal(signal.SIGALRM, late)
        self.loop.callLater(0, first)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            self.loop.run(installSignalHandlers=False)
        except BaseException as error:
            found.insert(0, f"run() was left by {error!r}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.faults.disarm()
        return found[0] if found else "run() was left"

    def isHealthy(self) -> str | None:
        """Return the fault that lasts now that no call fails, or None.

        It tries the client that is connected, the next client, and a call from a thread.
        """

        def work() -> str:
            for name, peer in (("who stands", self.bystander), ("the next client", dial(self.port))):
                if (heard := talk(peer, b"well?\n")) != DONE:
                    return f"{name}: {heard}"
            peer.close()
            return DONE

        found = self.run(work)
        return None if found == DONE else found


def talk(peer: Any, data: bytes) -> str:
    """Send lines, and hear the same."""
    try:
        peer.sendall(data)
    except OSError:
        return FAILED
    return hear(peer, data)


def hear(peer: Any, expected: bytes) -> str:
    """Hear `expected`, or the end."""
    peer.settimeout(SILENCE)
    got = b""
    while len(got) < len(expected):
        try:
            data = peer.recv(1 << 16)
        except TimeoutError:
            return f"silent after {len(got)} bytes of {len(expected)}"
        except OSError:
            data = b""
        if not data:
            return FAILED
        got += data
        if not expected.startswith(got):
            return f"wrong bytes: {got[-60:]!r}"
    return DONE


class Told:
    """Reports from the reactor's thread, for which the peer's thread waits."""

    def __init__(self) -> None:
        self._all = list[Any]()
        self._changed = threading.Semaphore(0)

    def __call__(self, what: Any) -> None:
        self._all.append(what)
        self._changed.release()

    def next(self) -> Any:
        """The next one, None after some time."""
        return self._all.pop(0) if self._changed.acquire(timeout=SILENCE) else None

    def left(self) -> list[Any]:
        return self._all


def worst(*found: str) -> str:
    """Return the result that is no end in order, if there is one; else whether any operation has failed."""
    return next((each for each in found if each not in (DONE, FAILED)), FAILED if FAILED in found else DONE)
