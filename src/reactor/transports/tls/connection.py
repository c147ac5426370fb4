"""TLSConnection: the protocol's view of TLS. layer.py, output.py and engine.py have the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from reactor.address import Address
from reactor.error import ConnectionAborted
from reactor.tlsoptions import ContextFactory
from reactor.transports.output import ENDED, ENDING, HANDSHAKE
from reactor.transports.tls.layer import TLSLayer


class TLSConnection(TLSLayer):
    """The transport of one TLS connection. A TLSFactory, a TLSConnector or startTLS makes it.

    It offers all that the transport below offers, for example TCP's options. `handshakeTimeout` and `closeTimeout` are
    in seconds.
    """

    __slots__ = ()

    TLS = True

    @property
    def bufferSize(self) -> int:
        """The most that one read of the transport below gives, in bytes of ciphertext. It can be set."""
        size: int = self.lower.bufferSize
        return size

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self.lower.bufferSize = size

    @property
    def proxyHeader(self) -> Any:
        """The ProxyHeader with which the connection has begun, before TLS or in it. None without the PROXY protocol."""
        return getattr(self.lower, "proxyHeader", None)

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN has agreed on (RFC 7301), None if there is none."""
        return self._engine.negotiatedProtocol

    @overload
    def getPeerCertificate(self, parsed: Literal[False] = False) -> bytes | None: ...
    @overload
    def getPeerCertificate(self, parsed: Literal[True]) -> dict[str, Any] | None: ...
    def getPeerCertificate(self, parsed: bool = False) -> bytes | dict[str, Any] | None:
        """Return the peer's certificate in DER, None if it has shown none.

        With `parsed`, return the dict of ssl.SSLSocket.getpeercert(), which is empty if it was not verified.
        """
        return self._engine.getPeerCertificateFields() if parsed else self._engine.getPeerCertificate()

    def getCipher(self) -> tuple[str, str, int] | None:
        """Return the cipher suite, the version of TLS that defines it, and the number of secret bits."""
        return self._engine.cipher

    def getTLSVersion(self) -> str | None:
        """Return "TLSv1.3" or "TLSv1.2"; None before the handshake."""
        return self._engine.version

    def getHost(self) -> Address:
        """Return the address of this side, also after the connection's end."""
        host: Address = self.lower.getHost()
        return host

    def getPeer(self) -> Address:
        """Return the address of the other side, also after the connection's end."""
        peer: Address = self.lower.getPeer()
        return peer

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        name: str = self.protocol.logPrefix() if hasattr(self.protocol, "logPrefix") else type(self.protocol).__name__
        return name

    def startTLS(
        self, contextFactory: ContextFactory | None = None, normal: bool = True, hostname: str | None = None
    ) -> None:
        """Raise RuntimeError: there is TLS already."""
        raise RuntimeError("TLS has been started already")

    def loseConnection(self) -> None:
        """Stop reading, send all that was written and close_notify, await the peer's, then close.

        Calling it again does nothing. connectionLost(ConnectionDone) comes later, never from here, unless
        loseWriteConnection has already ended our half.
        """
        if not self.connected or self.disconnecting:
            return
        self._writeHalf = max(self._writeHalf, ENDING)
        self.disconnecting = True
        self._held.clear()
        if self._writeHalf >= ENDED:
            self._finish(self._closedInOrder())
        elif self._readHalf != HANDSHAKE:
            self._beginClosing()
            self._flushSoon()

    def abortConnection(self) -> None:
        """Drop all unsent output and reset the connection. connectionLost(ConnectionAborted) comes on the next turn."""
        self._abort(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Send all that was written, then close_notify; writeConnectionLost follows. Later writes are dropped."""
        if self.connected and self._writeHalf < ENDED:
            self._writeHalf = ENDING
            self._flushSoon()

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        if self.connected and not self.disconnecting:
            self._paused = True
            if self._readHalf != HANDSHAKE:
                self.lower.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again, unless the connection is closing."""
        if self.connected and not self.disconnecting:
            self._paused = False
            self.lower.resumeProducing()
            if self._held or (self._engine.ended is not None and self._readHalf != ENDED):
                self.reactor.callLater(0, self._deliverLater)

    def stopProducing(self) -> None:
        """Call loseConnection(), under the name that a producer has."""
        self.loseConnection()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the attribute `name` of the transport below: getHandle, setTcpNoDelay, ..."""
            if name.startswith("_") or name == "lower":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return getattr(self.lower, name)
