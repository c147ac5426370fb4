"""listenXXX and connectXXX: the part of a reactor that opens sockets, one pair of methods for each kind."""

from __future__ import annotations

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE, SOCKET_MODE
from reactor.interfaces import IClientFactory, IDatagramProtocol, IProtocolFactory, ITransportReactor
from reactor.tlsoptions import ContextFactory
from reactor.transports.adopting import AdoptedConnection, AdoptedPort, adoptConnection, adoptedPort
from reactor.transports.binding import BindAddress, Binding
from reactor.transports.tcp import TCPConnector, TCPPort
from reactor.transports.tlsports import TLSConnector, TLSFactory
from reactor.transports.udp import MulticastPort, UDPPort
from reactor.transports.udp import adoptedPort as adoptedDatagramPort
from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort, UNIXDatagramPort
from reactor.transports.unix.stream import Path, UNIXConnector, UNIXPort


class SocketServices:
    """For a class that is an ITransportReactor. Every method is for the thread that runs the reactor."""

    def listenTCP(
        self: ITransportReactor,
        port: int | Binding,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ) -> TCPPort:
        """Listen on `port` (0: one that is free, see getHost) for connections that `factory` builds protocols for.

        `interface` is an address or name of this machine; "" means every IPv4 one and "::" every one. A makeBinding()
        in place of `port` says both, and whether others may listen there too. `backlog` is how many connections may
        wait to be accepted. CannotListenError if the system refuses.
        """
        listening = TCPPort(self, port, factory, backlog, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self: ITransportReactor,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> TCPConnector:
        """Connect to `host`, a name or a literal address, and `port`, a number or service name; never blocks.

        Every address of a name is tried in turn, within `timeout` seconds in all (None: as long as the system takes),
        from `bindAddress` (host, port), a host or a makeBinding(), if given. How it went is told to `factory`.
        """
        connector = TCPConnector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenSSL(
        self: ITransportReactor,
        port: int | Binding,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ) -> TCPPort:
        """Listen as listenTCP does, for TLS: `factory` is asked for a protocol after each good handshake.

        `contextFactory` is an ssl.SSLContext for servers, or has getContext(), for example reactor.CertificateOptions.
        It is asked at once and for each connection. TypeError for what gives no such context, ValueError for one of
        clients. The handshake has a deadline of its own, 10 s by default.
        """
        listening = TCPPort(self, port, TLSFactory(self, factory, contextFactory), backlog, interface)
        listening.startListening()
        return listening

    def connectSSL(
        self: ITransportReactor,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        contextFactory: ContextFactory | None,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> TLSConnector:
        """Connect as connectTCP does, then with TLS; `factory` is asked for a protocol after the handshake.

        `contextFactory` is an ssl.SSLContext for clients, or has getContext(), for example a
        reactor.optionsForClientTLS(host); None verifies with the system's trust. It is asked at once and for each
        connection. Verified is its `hostname`, if it has one, else `host`. TypeError for what gives no context,
        ValueError for one of servers. If TLS fails, clientConnectionFailed gets error.SSLError; TimeoutError after the
        handshake's own deadline.
        """
        connector = TLSConnector(self, host, port, factory, contextFactory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenUNIX(
        self: ITransportReactor,
        address: Path,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> UNIXPort:
        """Listen on the UNIX socket `address` for connections that `factory` builds protocols for.

        `address` is a path of at most 107 bytes, or an abstract name, which begins with a NUL and is open to every
        local user. The file has `mode` from its first moment and is removed at the end. With `wantPID` a lock file
        (`address` and ".lock") says that the owner lives: the path of a dead one is taken over, a live one's never;
        without it nothing is taken over. CannotListenError for whatever is in the way.
        """
        listening = UNIXPort(self, address, factory, backlog, mode, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(
        self: ITransportReactor,
        address: Path,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        checkPID: bool = False,
    ) -> UNIXConnector:
        """Connect to the UNIX socket `address` within `timeout` seconds (None: no limit); `factory` hears how it went.

        With `checkPID` it fails with BadFileError if nobody holds the lock of the path, see listenUNIX.
        """
        connector = UNIXConnector(self, address, factory, timeout, checkPID)
        connector.connect()
        return connector

    def listenUNIXDatagram(
        self: ITransportReactor,
        address: Path | None,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> UNIXDatagramPort:
        """Give `protocol` the datagrams that are sent to the UNIX socket `address`, see listenUNIX; None: to none.

        One longer than `maxPacketSize` goes to datagramLengthExceeded. CannotListenError for whatever is in the way.
        """
        port = UNIXDatagramPort(self, address, protocol, maxPacketSize, mode, wantPID)
        port.startListening()
        return port

    def connectUNIXDatagram(
        self: ITransportReactor,
        address: Path,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        bindAddress: Path | None = None,
        wantPID: bool = True,
    ) -> ConnectedUNIXDatagramPort:
        """Exchange datagrams with the UNIX socket `address` for `protocol`, a ConnectedDatagramProtocol.

        The peer can only answer if there is a `bindAddress`, whose file `mode` and `wantPID` are about. If it fails,
        connectionFailed of `protocol` is called, before this returns.
        """
        port = ConnectedUNIXDatagramPort(self, address, protocol, maxPacketSize, mode, bindAddress, wantPID)
        port.startListening()
        return port

    def listenUDP(
        self: ITransportReactor,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
    ) -> UDPPort:
        """Give `protocol` the datagrams that come to UDP `port` (0: one that is free, see getHost) of `interface`.

        `interface` is a literal address of this machine; "" means every IPv4 one and "::" every one. A datagram longer
        than `maxPacketSize` goes to datagramLengthExceeded. CannotListenError if the system refuses.
        """
        listening = UDPPort(self, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    def listenMulticast(
        self: ITransportReactor,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        listenMultiple: bool = False,
    ) -> MulticastPort:
        """As listenUDP; the port can join multicast groups. With `listenMultiple` others may listen on it too."""
        listening = MulticastPort(self, port, protocol, interface, maxPacketSize, listenMultiple)
        listening.startListening()
        return listening

    def adoptDatagramPort(
        self: ITransportReactor,
        fileDescriptor: int,
        addressFamily: int,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
    ) -> UDPPort:
        """As listenUDP, on a duplicate of `fileDescriptor`, a bound UDP socket of AF_INET or AF_INET6.

        The descriptor itself stays the caller's. UnsupportedAddressFamily or UnsupportedSocketType if it is another.
        """
        listening = adoptedDatagramPort(self, fileDescriptor, addressFamily, protocol, maxPacketSize)
        listening.startListening()
        return listening

    def adoptStreamPort(
        self: ITransportReactor, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> AdoptedPort:
        """Accept for `factory` on a duplicate of `fileDescriptor`, a listening socket of AF_INET, AF_INET6 or AF_UNIX.

        The descriptor itself stays the caller's, and may be closed; the socket becomes non-blocking. At the end it is
        closed and not shut down: other processes may listen on it. UnsupportedAddressFamily or UnsupportedSocketType
        if it is another, CannotListenError if it does not listen.
        """
        listening = adoptedPort(self, fileDescriptor, addressFamily, factory)
        listening.startListening()
        return listening

    def adoptStreamConnection(
        self: ITransportReactor, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> AdoptedConnection | None:
        """Have `factory` build a protocol for a duplicate of `fileDescriptor`, a connected stream socket.

        Return its transport, None if there is no protocol. The descriptor itself stays the caller's, who should close
        it: a reset by this side reaches the peer only when nobody else has the socket. The errors are those of
        adoptStreamPort.
        """
        return adoptConnection(self, fileDescriptor, addressFamily, factory)
