"""TLSEngine: the handshake and the records of one TLS connection, without a transport.

Bytes go in and bytes come out; it calls nobody. An `ssl.SSLObject` between two memory BIOs does the work.

OpenSSL gets a few records at a time, never the beginning of a header, so what they cost can be watched while they are
taken. Their headers are plain (RFC 8446, 5.1), and so they can be counted. decrypt() takes all that there is; what came
behind the handshake waits for it.
"""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor.error import ConnectionClosed, ConnectionDone, ConnectionLost, SSLError
from reactor.tlsoptions import ContextFactory, contextOf, ofSide

RECORD = 16 * 1024
HEADER = 5
_DATA = b"\x17\x03\x03"  # begins a record of data
_LONGEST = HEADER + RECORD + 256  # of TLS 1.3

# How many records OpenSSL is given at once.
BATCH = 32

# Records that bring no data, key updates say, are cheap to send and dear to take: a key update costs as much as 20
# records of one byte. IDLE_LIMIT of them are borne at once, one more for each _PER_IDLE records with data, and one more
# each second (a peer may send them to show that it is there, or to hide when it talks). So a peer that mixes them with
# data makes a record dearer by a third, no more. Bytes would be no measure: records may be padded.
IDLE_LIMIT = 32
_PER_IDLE = 64


class TLSEngine:
    """One side of a TLS connection. `hostname`, a name or a literal address, is whom a client verifies.

    `ended` is None, or why the peer's direction is over: ConnectionDone (close_notify), or ConnectionLost with what was
    wrong. `seconds` tells the time. ValueError, OSError, or what getContext raises, if the context does not fit.
    """

    __slots__ = (
        "_askOn",
        "_early",
        "_idle",
        "_idleSince",
        "_incoming",
        "_object",
        "_outgoing",
        "_records",
        "_rest",
        "_seconds",
        "_skip",
        "ended",
    )

    def __init__(
        self,
        contextFactory: ContextFactory,
        isClient: bool,
        hostname: str | None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if hostname is not None:
            hostname = hostname.partition("%")[0].removesuffix(".")  # no zone of an IPv6 address, no root of a name
        context = ofSide(contextOf(contextFactory), isClient)
        if isClient and context.check_hostname and not hostname:  # OpenSSL would verify no name at all
            raise ValueError("a client that verifies host names needs to know the host's name")
        self._object = context.wrap_bio(self._incoming, self._outgoing, not isClient, hostname)
        self._rest = b""  # what OpenSSL has not been given: the beginning of a header, or what follows the handshake
        self._skip = 0  # how many bytes behind what it has been given the next header begins
        self._records = 0  # that it has been given, and that have not been weighed yet
        self._askOn = False  # whether there may be more to read, or to complain about, than the records that have ended
        self._early: list[bytes] = []  # found by close(), to be returned by decrypt()
        self._idle = 0.0  # records without data, weighed; as of
        self._idleSince = 0.0
        self._seconds = seconds
        self.ended: ConnectionClosed | None = None

    def handshake(self, data: bytes = b"") -> bool:
        """Take `data` from the peer and go on; return whether the handshake is done.

        Data behind it waits for decrypt(). error.SSLError if it failed; an alert for the peer may be waiting in take().
        """
        data = self._rest + data
        at, done = 0, False
        while not done:
            if not self._skip and data[at : at + 1] >= b"\x80":
                # OpenSSL would take a hello of SSL 2.0, whose record is not counted in the way of TLS.
                raise SSLError(string="no TLS: an SSL 2.0 ClientHello perhaps (RFC 8446, D.5)")
            at = self._feed(data, at)
            try:
                self._object.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                if len(data) - at < HEADER:
                    break
            except (OSError, ValueError) as error:
                raise SSLError(error) from error
        self._rest = data[at:]
        self._records = int(self._skip > 0)
        self._askOn = done  # what came with its end was not counted
        return done

    def decrypt(self, data: bytes = b"") -> list[bytes]:
        """Take `data` from the peer; return the plaintext in pieces. Nothing more once `ended` is set."""
        pieces, self._early = self._early, []
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        while self.ended is None:
            at = self._feed(data, at)
            self._read(pieces)
            if len(data) - at < HEADER:
                self._rest = data[at:]
                break
        return pieces

    def _feed(self, data: bytes, begin: int) -> int:
        """Hand `data` from `begin` on to OpenSSL, BATCH records at most; return where that ended."""
        at, end = begin + self._skip, len(data)
        records, last = self._records, self._records + BATCH
        header = end
        while at + HEADER <= end and records < last:
            header = at
            at += HEADER + (data[at + 3] << 8 | data[at + 4])
            records += 1
        self._records = records
        if at <= end:
            self._skip = 0
        else:
            if header < end and not (data.startswith(_DATA, header) and at - header <= _LONGEST):
                self._askOn = True  # what is no TLS is to be found out now, not when as much has come as it announces
            self._skip, at = at - end, end
        self._incoming.write(data if at - begin == end else memoryview(data)[begin:at])
        return at

    def _read(self, pieces: list[bytes]) -> None:
        """Have decrypted what OpenSSL holds.

        A read returns one record. To ask for those alone that have ended spares an error for each batch, which costs as
        much as 3 KiB of data.
        """
        full = self._records - (self._skip > 0)
        before = len(pieces)
        read = self._object.read
        try:
            for _ in range(sys.maxsize if self._askOn else full):
                if not (piece := read(RECORD)):
                    self.ended = ConnectionDone()
                    return
                pieces.append(piece)
        except ssl.SSLWantReadError:
            self._askOn = False
        except ssl.SSLZeroReturnError:  # close_notify again, with ours sent
            self.ended = ConnectionDone()
            return
        except OSError as error:
            self.ended = ConnectionLost(str(error))
            return
        self._records -= full
        self._weigh(full, len(pieces) - before)

    def _weigh(self, records: int, useful: int) -> None:
        """Hold the `records` taken against the `useful` ones among them."""
        idle = records - useful
        if idle <= 0:
            self._idle = max(0.0, self._idle + idle - useful / _PER_IDLE)
            return
        now = self._seconds()
        self._idle = max(0.0, self._idle - (now - self._idleSince)) + idle - useful / _PER_IDLE
        self._idleSince = now
        if self._idle > IDLE_LIMIT:
            self.ended = ConnectionLost(f"more than {IDLE_LIMIT} TLS records without data")

    def encrypt(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt `data`; return how much was taken: all, or 0 if something must come from the peer first. OSError."""
        try:
            return self._object.write(data)
        except ssl.SSLWantReadError:
            return 0

    def close(self) -> None:
        """Say close_notify. Nothing can be encrypted from now on; decrypting goes on."""
        self._early = self.decrypt()  # OpenSSL reads when it closes, and data found then would be an error
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
