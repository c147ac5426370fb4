"""The other end of a TLS connection, in the hands of the test: it sends what it likes, when it likes, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import pathlib
import ssl
import tempfile
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reactor import Protocol
from reactor.testing import IOPump, PumpReactor, connect, makeFakeClient, makeFakeServer
from reactor.transports.tls.connection import TLSConnection
from tests.support.tlsworlds import HOST, TRUST, certificatePath, clientOptions, serverOptions

APPLICATION_DATA, HANDSHAKE = 23, 22


class Recorder(Protocol):
    """Our protocol: writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.received = b""

    def connectionMade(self) -> None:
        self.events.append("made")

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")

    def dataReceived(self, data: bytes) -> None:
        self.events.append("data")
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append(type(reason.value).__name__)
        self.lost = reason


class RecordingHalves(Recorder):
    def readConnectionLost(self) -> None:
        self.events.append("readLost")

    def writeConnectionLost(self) -> None:
        self.events.append("writeLost")


class RawEnd(Protocol):
    """The protocol on the peer's transport: it keeps the bytes, which the test takes."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        self.arrived += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended = True


class RawHalves(RawEnd):
    """The same, which stays when our side ends its stream."""

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


def peerContext(isClient: bool) -> ssl.SSLContext:
    """Return the context of a peer that is as it should be."""
    if isClient:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=TRUST.decode())
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificatePath())
    return context


class Wire:
    """Our TLSConnection, with `protocol` on it, and a peer, joined in memory. Time is a Clock's.

    `ours` is our connection, `peer` the peer's ssl.SSLObject, `raw` what its transport carries.
    """

    def __init__(
        self,
        protocol: Any = None,
        options: Any = None,
        context: ssl.SSLContext | None = None,
        weAreClient: bool = False,
        raw: RawEnd | None = None,
    ) -> None:
        self.protocol = Recorder() if protocol is None else protocol
        self.failures: list[Any] = []
        self.reactor = PumpReactor()
        options = options or (clientOptions() if weAreClient else serverOptions())
        self.ours = TLSConnection(
            self.reactor,
            options,
            weAreClient,
            HOST if weAreClient else None,
            lambda _: self.protocol,
            lambda _, reason: self.failures.append(reason),
        )
        self.raw = raw or RawEnd()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or peerContext(not weAreClient)
        self.peer = context.wrap_bio(self._in, self._out, weAreClient, None if weAreClient else HOST)
        if weAreClient:
            self.lower, self.other = makeFakeClient(self.ours), makeFakeServer(self.raw)
            ends: tuple[Any, Any, Any, Any] = (self.raw, self.other, self.ours, self.lower)
        else:
            self.lower, self.other = makeFakeServer(self.ours), makeFakeClient(self.raw)
            ends = (self.ours, self.lower, self.raw, self.other)
        self.pump: IOPump = connect(*ends, greet=False, clock=self.reactor)

    def flush(self) -> None:
        """Let everything that was sent arrive, on both sides."""
        self.pump.flush()
        self._in.write(bytes(self.raw.arrived))
        self.raw.arrived.clear()

    def send(self, data: bytes | None = None) -> None:
        """Have these bytes arrive, as they are; None: the output of the peer's TLS."""
        self.other.write(self._out.read() if data is None else data)
        self.flush()

    def handshake(self) -> Wire:
        """Do it, to its good end on both sides."""
        for _ in range(5):
            try:
                self.peer.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            self.send()
        assert done
        return self

    def say(self, data: bytes) -> None:
        """The peer sends data."""
        self.peer.write(data)
        self.send()

    def hear(self) -> bytes:
        """Return the bytes that the peer has received, with "<end>" behind them if close_notify came."""
        self.flush()
        heard = b""
        try:
            while data := self.peer.read(1 << 20):
                heard += data
        except ssl.SSLWantReadError:
            return heard
        except ssl.SSLZeroReturnError:
            pass
        return heard + b"<end>"

    def closeNotify(self) -> None:
        """The peer sends its own."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.peer.unwrap()
        self.send()

    def advance(self, seconds: float) -> None:
        """Let time go by, from one delayed call to the next."""
        end = self.reactor.seconds() + seconds
        while True:
            now = self.reactor.seconds()
            due = min((call.getTime() for call in self.reactor.getDelayedCalls()), default=end)
            self.reactor.clock.advance(min(max(due, now), end) - now)
            self.flush()
            if now >= end:
                return


def expandLabel(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, 7.1, with SHA-384 and no context; for sizes up to 48."""
    info = size.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha384).digest()[:size]


class Records:
    """Writes TLS 1.3 records of a client whose handshake an ordinary TLS does: any kind, any number.

    `context` is that one's, and what it derives the keys from is read from the file where it notes it.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = pathlib.Path(self._folder.name) / "keys"
        self.context = peerContext(isClient=True)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.keylog_filename = os.fspath(self._path)

    def begin(self, peer: ssl.SSLObject | ssl.SSLSocket) -> None:
        """The handshake of `peer` is done."""
        assert peer.cipher() == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
        lines = self._path.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("CLIENT_TRAFFIC_SECRET_0"))
        self._folder.cleanup()
        self._use(bytes.fromhex(line.split()[2]))

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(expandLabel(secret, b"key", 32))
        self._iv = int.from_bytes(expandLabel(secret, b"iv", 12), "big")
        self._number = 0

    def record(self, content: bytes, kind: int = APPLICATION_DATA, padding: int = 0) -> bytes:
        size = len(content) + 1 + padding + 16
        header = bytes([23, 3, 3]) + size.to_bytes(2, "big")
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._cipher.encrypt(nonce, content + bytes([kind]) + bytes(padding), header)

    def keyUpdate(self, requested: bool = True) -> bytes:
        record = self.record(bytes([24, 0, 0, 1, requested]), HANDSHAKE)
        self._use(expandLabel(self._secret, b"traffic upd", 48))
        return record


class Attacker(Records):
    """Has them on a wire. The last of the handshake is in `finished`; with `hold` it has not been sent."""

    def __init__(self, hold: bool = False) -> None:
        super().__init__()
        self.wire = Wire(context=self.context)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.wire.peer.do_handshake()
        self.wire.send()
        self.wire.peer.do_handshake()
        self.finished = self.wire._out.read()
        if not hold:
            self.wire.send(self.finished)
        self.begin(self.wire.peer)
