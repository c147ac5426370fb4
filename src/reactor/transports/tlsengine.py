"""TLSEngine: the handshake and the records of one TLS connection, without a transport.

Bytes go in and bytes come out; it calls nobody. An `ssl.SSLObject` between two memory BIOs does the work.

What is fed is decrypted at once, all of it, so the incoming BIO never holds a whole record. close() relies on that:
OpenSSL reads when it closes, and data found then would be an error.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

from reactor.error import ConnectionClosed, ConnectionDone, ConnectionLost, SSLError
from reactor.tlsoptions import ContextFactory, contextOf

RECORD = 16 * 1024
HEADER = 5

# Records that bring no data (key updates, empty ones) are cheap to send and dear to take, a key update as dear as 25
# records of one byte. IDLE_LIMIT is how many are borne; _PER_IDLE records with data make up for one of them. So a peer
# that mixes them can triple the cost of a record, no more. Bytes would be no measure: records may be padded.
IDLE_LIMIT = 1000
_PER_IDLE = 16


class TLSEngine:
    """One side of a TLS connection. `hostname`, a name or a literal address, is whom a client verifies.

    `ended` is None, or why the peer's direction is over: ConnectionDone (close_notify), or ConnectionLost with what was
    wrong. ValueError, OSError, or what getContext raises, if the context does not fit.
    """

    __slots__ = ("_head", "_idle", "_incoming", "_object", "_outgoing", "_records", "_skip", "ended")

    def __init__(self, contextFactory: ContextFactory, isClient: bool, hostname: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if hostname is not None:
            hostname = hostname.partition("%")[0].removesuffix(".")  # no zone of an IPv6 address, no root of a name
        context = contextOf(contextFactory)
        if isClient and context.check_hostname and not hostname:  # OpenSSL would verify no name at all
            raise ValueError("a client that verifies host names needs to know the host's name")
        self._object = context.wrap_bio(self._incoming, self._outgoing, not isClient, hostname)
        self._head = b""  # the beginning of a record's header
        self._skip = 0  # how far away the next header is
        self._records = 0  # begun since the last decrypt()
        self._idle = 0
        self.ended: ConnectionClosed | None = None

    def handshake(self, data: bytes = b"") -> bool:
        """Take `data` from the peer and go on; return whether the handshake is done.

        Data behind it waits for decrypt(). error.SSLError if it failed; an alert for the peer may be waiting in take().
        """
        self._feed(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (OSError, ValueError) as error:
            raise SSLError(error) from error
        self._records = 0
        return True

    def decrypt(self, data: bytes = b"") -> list[bytes]:
        """Take `data` from the peer; return the plaintext in pieces. Nothing more once `ended` is set."""
        pieces: list[bytes] = []
        if self.ended is not None:
            return pieces
        self._feed(data)
        read = self._object.read
        try:
            while piece := read(RECORD):
                pieces.append(piece)
            self.ended = ConnectionDone()
        except ssl.SSLWantReadError:
            useful = len(pieces)
            self._idle = max(0, self._idle + (self._records - useful) * _PER_IDLE - useful)
            self._records = 0
            if self._idle > IDLE_LIMIT * _PER_IDLE:
                self.ended = ConnectionLost(f"more than {IDLE_LIMIT} TLS records without data")
        except ssl.SSLZeroReturnError:  # close_notify again, with ours sent
            self.ended = ConnectionDone()
        except OSError as error:
            self.ended = ConnectionLost(str(error))
        return pieces

    def _feed(self, data: bytes) -> None:
        """Hand ciphertext to OpenSSL, and count its records: their headers are plain (RFC 8446, 5.1)."""
        self._incoming.write(data)
        if self._head:
            data = self._head + data
        at, end = self._skip, len(data)
        while at + HEADER <= end:
            at += HEADER + (data[at + 3] << 8 | data[at + 4])
            self._records += 1
        self._head = data[at:]
        self._skip = max(0, at - end)

    def encrypt(self, data: bytearray | memoryview) -> int:
        """Encrypt `data`; return how much was taken: all, if nothing must come from the peer first. OSError."""
        sent = 0
        with suppress(ssl.SSLWantReadError), memoryview(data) as view:
            while sent < len(view):
                with view[sent:] as rest:  # released at once: an error's traceback would hold on to it
                    sent += self._object.write(rest)
        return sent

    def close(self) -> None:
        """Say close_notify. Nothing can be encrypted from now on; decrypting goes on."""
        with suppress(OSError):  # the peer's has not come yet; or TLS has failed, and there is nothing to say
            self._object.unwrap()

    def take(self) -> bytes:
        """Return, and forget, what is to be sent to the peer."""
        return self._outgoing.read()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN has agreed on (RFC 7301), None if nothing."""
        name = self._object.selected_alpn_protocol()
        return None if name is None else name.encode("ascii")

    @property
    def version(self) -> str | None:
        """ "TLSv1.3" or "TLSv1.2"; None before the handshake."""
        return self._object.version()

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """The cipher suite, the version of TLS that defines it, and the number of secret bits."""
        return self._object.cipher()

    def getPeerCertificate(self) -> bytes | None:
        """Return the peer's certificate in DER, None if it has shown none."""
        return self._object.getpeercert(True)

    def getPeerCertificateFields(self) -> dict[str, Any] | None:
        """Return the peer's certificate as ssl.SSLSocket.getpeercert() does; empty if it was not verified."""
        return self._object.getpeercert(False)
