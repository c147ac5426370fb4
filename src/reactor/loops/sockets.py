"""listenXXX and connectXXX: the part of a reactor that opens sockets, one pair of methods for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE, SOCKET_MODE
from reactor._later import later
from reactor.interfaces import IClientFactory, IDatagramProtocol, IProtocolFactory, ITransportReactor

if TYPE_CHECKING:
    from reactor.tlsoptions import ContextFactory
    from reactor.transports import adopting, tcp, tlsports, udp
    from reactor.transports.binding import BindAddress, Binding
    from reactor.transports.unix import datagram, stream
else:
    adopting = later("reactor.transports.adopting", globals(), withReactor=True)
    datagram = later("reactor.transports.unix.datagram", globals(), withReactor=True)
    stream = later("reactor.transports.unix.stream", globals(), withReactor=True)
    tcp = later("reactor.transports.tcp", globals(), withReactor=True)
    tlsports = later("reactor.transports.tlsports", globals(), withReactor=True)
    udp = later("reactor.transports.udp", globals(), withReactor=True)


class SocketServices:
    """The listenXXX and connectXXX of an ITransportReactor. Every method is for the thread that runs the reactor."""

    def listenTCP(
        self: ITransportReactor,
        port: int | Binding,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ) -> tcp.TCPPort:
        """Listen on `port` (0: a free one, see getHost) for connections; `factory` builds their protocols.

        `interface` is an address or name of this machine; "" means every IPv4 one and "::" every one. A makeBinding()
        in place of `port` gives both, and says whether other sockets may listen there too. `backlog` is the number of
        connections that may wait for an accept. CannotListenError if the system refuses.
        """
        listening = tcp.TCPPort(self, port, factory, backlog, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self: ITransportReactor,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> tcp.TCPConnector:
        """Connect to `host`, a name or a literal address, and `port`, a number or service name; never blocks.

        It tries every address of a name in turn, within `timeout` seconds in all (None: the system's own limit).
        `bindAddress` is this side's (host, port), a host, or a makeBinding(). The methods of `factory` get the result.
        """
        connector = tcp.TCPConnector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenSSL(
        self: ITransportReactor,
        port: int | Binding,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ) -> tcp.TCPPort:
        """Listen as listenTCP does, for TLS. `factory` builds a protocol after each good handshake.

        `contextFactory` is an ssl.SSLContext for servers, or has getContext(), for example reactor.CertificateOptions.
        It is asked at once and for each connection. TypeError if it gives no such context, ValueError for a client's.
        The handshake has a deadline of its own, 10 s by default.
        """
        listening = tcp.TCPPort(self, port, tlsports.TLSFactory(self, factory, contextFactory), backlog, interface)
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
    ) -> tlsports.TLSConnector:
        """Connect as connectTCP does, then with TLS. `factory` builds the protocol after the handshake.

        `contextFactory` is an ssl.SSLContext for clients, or has getContext(), for example a
        reactor.optionsForClientTLS(host). None verifies with the system's trust. It is asked at once and for each
        connection. TLS verifies its `hostname`, if it has one, else `host`. TypeError if it gives no context,
        ValueError for a server's. If TLS fails, clientConnectionFailed gets error.SSLError, or TimeoutError after the
        handshake's own deadline.
        """
        connector = tlsports.TLSConnector(self, host, port, factory, contextFactory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenUNIX(
        self: ITransportReactor,
        address: stream.Path,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> stream.UNIXPort:
        """Listen on the UNIX socket `address` for connections; `factory` builds their protocols.

        `address` is a path of at most 107 bytes, or an abstract name, which begins with a NUL and is open to every
        local user. The file has `mode` from its first moment, and the port removes it at the end. With `wantPID` a lock
        file (`address` and ".lock") shows that the owner lives. The path of a dead owner is taken over, that of a live
        one never. Without `wantPID` nothing is taken over. CannotListenError if the system or another file stands in
        the way.
        """
        listening = stream.UNIXPort(self, address, factory, backlog, mode, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(
        self: ITransportReactor,
        address: stream.Path,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        checkPID: bool = False,
    ) -> stream.UNIXConnector:
        """Connect to the UNIX socket `address` within `timeout` seconds (None: no limit).

        The methods of `factory` get the result. With `checkPID` it fails with BadFileError if no process holds the lock
        of the path, see listenUNIX.
        """
        connector = stream.UNIXConnector(self, address, factory, timeout, checkPID)
        connector.connect()
        return connector

    def listenUNIXDatagram(
        self: ITransportReactor,
        address: stream.Path | None,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> datagram.UNIXDatagramPort:
        """Give `protocol` the datagrams for the UNIX socket `address`, see listenUNIX; None means no address.

        A datagram longer than `maxPacketSize` goes to datagramLengthExceeded. CannotListenError as for listenUNIX.
        """
        port = datagram.UNIXDatagramPort(self, address, protocol, maxPacketSize, mode, wantPID)
        port.startListening()
        return port

    def connectUNIXDatagram(
        self: ITransportReactor,
        address: stream.Path,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        bindAddress: stream.Path | None = None,
        wantPID: bool = True,
    ) -> datagram.ConnectedUNIXDatagramPort:
        """Exchange datagrams with the UNIX socket `address` for `protocol`, a ConnectedDatagramProtocol.

        The peer can answer only if there is a `bindAddress`, for whose file `mode` and `wantPID` count. If it fails,
        connectionFailed of `protocol` is called before this returns.
        """
        port = datagram.ConnectedUNIXDatagramPort(self, address, protocol, maxPacketSize, mode, bindAddress, wantPID)
        port.startListening()
        return port

    def listenUDP(
        self: ITransportReactor,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
    ) -> udp.UDPPort:
        """Give `protocol` the datagrams for UDP `port` (0: a free one, see getHost) of `interface`.

        `interface` is a literal address of this machine; "" means every IPv4 one and "::" every one. A datagram longer
        than `maxPacketSize` goes to datagramLengthExceeded. CannotListenError if the system refuses.
        """
        listening = udp.UDPPort(self, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    def listenMulticast(
        self: ITransportReactor,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        listenMultiple: bool = False,
    ) -> udp.MulticastPort:
        """Do the same as listenUDP; the port can join groups. With `listenMultiple` others may listen on it too."""
        listening = udp.MulticastPort(self, port, protocol, interface, maxPacketSize, listenMultiple)
        listening.startListening()
        return listening

    def adoptDatagramPort(
        self: ITransportReactor,
        fileDescriptor: int,
        addressFamily: int,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
    ) -> udp.UDPPort:
        """Do the same as listenUDP, on a duplicate of `fileDescriptor`, a bound UDP socket.

        The caller keeps the descriptor itself. UnsupportedAddressFamily unless its family is AF_INET or AF_INET6;
        UnsupportedSocketType unless it is a UDP socket.
        """
        listening = udp.adoptedPort(self, fileDescriptor, addressFamily, protocol, maxPacketSize)
        listening.startListening()
        return listening

    def adoptStreamPort(
        self: ITransportReactor, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> adopting.AdoptedPort:
        """Accept for `factory` on a duplicate of `fileDescriptor`, a listening socket.

        The caller keeps the descriptor itself, and may close it; the socket becomes non-blocking. At the end it is
        closed and not shut down, as other processes may listen on it. UnsupportedAddressFamily unless its family is
        AF_INET, AF_INET6 or AF_UNIX; UnsupportedSocketType unless it is a stream socket. CannotListenError if it does
        not listen.
        """
        listening = adopting.adoptedPort(self, fileDescriptor, addressFamily, factory)
        listening.startListening()
        return listening

    def adoptStreamConnection(
        self: ITransportReactor, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> adopting.AdoptedConnection | None:
        """Have `factory` build a protocol for a duplicate of `fileDescriptor`, a connected stream socket.

        Return its transport, or None without a protocol. The caller keeps the descriptor itself, and should close it. A
        reset by this side reaches the peer only if no other descriptor has the socket. The errors are those of
        adoptStreamPort.
        """
        return adopting.adoptConnection(self, fileDescriptor, addressFamily, factory)
