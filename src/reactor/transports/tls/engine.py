"""TLSEngine: the handshake and the records of one TLS connection, without a transport.

Bytes go in and bytes come out; it calls no other code. An `ssl.SSLObject` between two memory BIOs does the work.

OpenSSL gets a few records at a time, never the beginning of a header, so their cost can be watched. Their headers are
plain (RFC 8446, 5.1), so they can be counted. decrypt() takes all bytes. Bytes behind the handshake wait for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._later import later
from reactor.error import ConnectionClosed, ConnectionDone, ConnectionLost, SSLError
from reactor.tlsoptions import ContextFactory, contextOf, ofSide

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

RECORD = 16 * 1024
HEADER = 5
_DATA = b"\x17\x03\x03"  # the first byte of a record of data
_HANDSHAKE = b"\x16\x03"  # the first bytes of a record of a handshake, before its minor version
_LONGEST = HEADER + RECORD + 256  # of TLS 1.3

# The number of records that OpenSSL gets at once.
BATCH = 32

# Records without data, such as key updates, are cheap to send and expensive to take. A key update costs as much as 20
# records of one byte. A peer may send IDLE_LIMIT of them at once, one more for each _PER_IDLE records with data, and
# one more each second. (It may use them as a sign of life, or to hide when it talks.) So a peer that mixes them with
# data raises the cost of a record by a third at most. Bytes would be no measure, because records may be padded.
IDLE_LIMIT = 32
_PER_IDLE = 64


def isUnfinished(hello: bytes) -> bool:
    """Whether `hello` is the beginning of a record of a handshake, or empty.

    OpenSSL takes 26 KiB when a handshake begins, and 17 KiB for its first record. A client that never sends a whole
    ClientHello shall not cost that.
    """
    if len(hello) < HEADER:
        return _HANDSHAKE.startswith(hello[: len(_HANDSHAKE)])
    length = hello[3] << 8 | hello[4]
    return hello.startswith(_HANDSHAKE) and length <= RECORD and len(hello) < HEADER + length


class TLSEngine:
    """One side of a TLS connection. A client verifies `hostname`, a name or a literal address.

    `ended` is None, or the reason for the end of the peer's direction: ConnectionDone (close_notify), or ConnectionLost
    with the fault. `seconds` tells the time. ValueError, OSError, or an exception of getContext, if the context does
    not fit.
    """

    __slots__ = (
        "_askOn",
        "_awaitsHello",
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
            # without the zone of an IPv6 address and the root of a name
            hostname = hostname.partition("%")[0].removesuffix(".")
        context = ofSide(contextOf(contextFactory), isClient)
        if isClient and context.check_hostname and not hostname:  # otherwise OpenSSL would verify no name at all
            raise ValueError("a client that verifies host names needs to know the host's name")
        self._object = context.wrap_bio(self._incoming, self._outgoing, not isClient, hostname)
        self._awaitsHello = not isClient
        # bytes that OpenSSL has not got: an unfinished ClientHello, the beginning of a header, or those behind the
        # handshake
        self._rest = b""
        self._skip = 0  # the distance in bytes from the end of its input to the next header
        self._records = 0  # records that it has got, and that have not been weighed yet
        self._askOn = False  # whether there may be more to read, or an error, than the complete records
        self._early: list[bytes] = []  # found by close(), for decrypt() to return
        self._idle = 0.0  # weighed records without data, and the time of that
        self._idleSince = 0.0
        self._seconds = seconds
        self.ended: ConnectionClosed | None = None

    def handshake(self, data: bytes = b"") -> bool:
        """Take `data` from the peer and go on; return whether the handshake is complete.

        Data behind it waits for decrypt(). error.SSLError if it failed; take() may then have an alert for the peer.
        """
        data = self._rest + data
        if self._awaitsHello:
            if isUnfinished(data):
                self._rest = data
                return False
            self._awaitsHello = False
        at, done = 0, False
        while not done:
            if not self._skip and data[at : at + 1] >= b"\x80":
                # OpenSSL would take a hello of SSL 2.0, whose record has another form.
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
        self._askOn = done  # the bytes that came with its end were not counted
        return done

    def decrypt(self, data: bytes = b"") -> list[bytes]:
        """Take `data` from the peer; return the plaintext in pieces. Once `ended` is set there are no more."""
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
        """Give `data` from `begin` on to OpenSSL, BATCH records at most; return the end of that part."""
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
                self._askOn = True  # bytes that are no TLS are an error now, not when the announced length has come
            self._skip, at = at - end, end
        self._incoming.write(data if at - begin == end else memoryview(data)[begin:at])
        return at

    def _read(self, pieces: list[bytes]) -> None:
        """Decrypt the input of OpenSSL.

        A read returns one record. Reading only complete records spares an error for each batch, which costs as much as
        3 KiB of data.
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
        except ssl.SSLZeroReturnError:  # a second close_notify, after ours was sent
            self.ended = ConnectionDone()
            return
        except OSError as error:
            self.ended = ConnectionLost(str(error))
            return
        self._records -= full
        self._weigh(full, len(pieces) - before)

    def _weigh(self, records: int, useful: int) -> None:
        """Weigh the number of `records` against the `useful` ones among them."""
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
        """Encrypt `data`; return the taken length: all, or 0 if the peer must send something first. Or OSError."""
        try:
            return self._object.write(data)
        except ssl.SSLWantReadError:
            return 0

    def close(self) -> None:
        """Send close_notify. From now on nothing can be encrypted; decrypting goes on."""
        self._early = self.decrypt()  # OpenSSL reads when it closes, and data would be an error then
        # the peer's close_notify has not come yet; or TLS has failed, and there is nothing to send
        with suppress(OSError):
            self._object.unwrap()

    def take(self) -> bytes:
        """Return, and forget, the bytes to send to the peer."""
        return self._outgoing.read()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN has agreed on (RFC 7301), or None."""
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
        """Return the peer's certificate in DER, or None if it has sent none."""
        return self._object.getpeercert(True)

    def getPeerCertificateFields(self) -> dict[str, Any] | None:
        """Return the peer's certificate in the form of ssl.SSLSocket.getpeercert(); empty if it was not verified."""
        return self._object.getpeercert(False)
