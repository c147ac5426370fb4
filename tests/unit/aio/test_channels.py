"""Connections of reactor.aio at the end of TLS, what they tell of it, startTLS on them, and late event loops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from reactor import ClientFactory, Deferred, LineReceiver, ServerFactory, policies
from reactor.aio import ProtocolFactory
from reactor.aio.channels import GOES_NOWHERE
from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost
from reactor.interfaces import IAnyTransport
from reactor.timers import LATE
from tests.contract.interrupted import Interrupter
from tests.support.rawtls import Recorder, peerContext
from tests.support.tlsworlds import HOST, clientOptions, serverOptions
from tests.support.worlds import ASYNCIO, DEADLINE, LOOPBACK, UVLOOP

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in (ASYNCIO, UVLOOP)])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on asyncio's event loop, and on uvloop's, within the deadline."""
    factory = uvloop.new_event_loop if request.param is UVLOOP else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


async def until(condition: Callable[..., object]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def turns(count: int = 5) -> None:
    """Let the event loop do what it has in hand."""
    for _ in range(count):
        await asyncio.sleep(0)


class Served(Recorder):
    """Pauses at the first data, and keeps the reason of its end."""

    def dataReceived(self, data: bytes) -> None:
        if not self.received:
            self.transport.pauseProducing()
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append(reason.value)


class Halves(Served):
    def readConnectionLost(self) -> None:
        self.events.append("readLost")

    def writeConnectionLost(self) -> None:
        self.events.append("writeLost")


class Server:
    """An asyncio server whose connections are of `kind`, with the TLS of asyncio; `path` is for a UNIX socket."""

    def __init__(
        self, kind: Callable[..., Any] = Served, path: pathlib.Path | None = None, secure: bool = True
    ) -> None:
        self.built: list[Any] = []
        self.kind, self.path, self.secure = kind, path, secure

    async def __aenter__(self) -> Server:
        def build() -> Any:
            self.built.append(self.kind())
            return self.built[-1]

        factory = ProtocolFactory(ServerFactory.forProtocol(build))
        options: dict[str, Any] = {"ssl": serverOptions().getContext()} if self.secure else {}
        loop = asyncio.get_running_loop()
        if self.path is None:
            self.server = await loop.create_server(factory, LOOPBACK, 0, **options)
        else:
            self.server = await loop.create_unix_server(factory, str(self.path), **options)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    @property
    def only(self) -> Any:
        (only,) = self.built
        return only

    async def farewell(self, data: bytes) -> socket.socket:
        """A client that sends data and close_notify at once, so that one read brings both. Return its socket."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, self.server.sockets[0].getsockname())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = peerContext(isClient=True).wrap_bio(incoming, outgoing, server_hostname=HOST)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.send(outgoing.read())
                incoming.write(await loop.sock_recv(sock, 1 << 16))
        sock.send(outgoing.read())
        await until(lambda: self.built)
        tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        last = outgoing.read()
        assert sock.send(last) == len(last)
        return sock

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure: dict[str, Any] = {"ssl": peerContext(isClient=True), "server_hostname": HOST} if self.secure else {}
        if self.path is not None:
            return await asyncio.open_unix_connection(str(self.path), **secure)
        return await asyncio.open_connection(*self.server.sockets[0].getsockname(), **secure)


class TestInputOfAPausedProtocol:
    """asyncio closes its TLS at the peer's close_notify, paused or not. Received data comes before the end."""

    def test_lines(self, run: Run) -> None:
        """The handler takes its time for each line."""

        class Slow(LineReceiver):
            delimiter = b"\n"
            handled = 0
            lost: Any = None

            async def lineReceived(self, line: bytes) -> None:
                later: Deferred[None] = Deferred()
                asyncio.get_running_loop().call_soon(later.callback, None)
                await later
                self.handled += 1
                self.sendLine(line)

            def connectionLost(self, reason: Any = None) -> None:
                self.lost = reason.type

        async def main() -> None:
            async with Server(Slow) as server:
                _, writer = await server.dial()
                writer.write(b"".join(b"%d\n" % number for number in range(50)))
                writer.close()
                await until(lambda: server.built and server.only.lost)
                assert (server.only.handled, server.only.lost) == (50, ConnectionDone)

        run(main())

    def test_bytes(self, run: Run) -> None:
        """More than one read gives, paused after each."""

        class Pausing(Served):
            def dataReceived(self, data: bytes) -> None:
                self.received += data
                self.transport.pauseProducing()
                asyncio.get_running_loop().call_soon(self.transport.resumeProducing)

        async def main() -> None:
            async with Server(Pausing) as server:
                _, writer = await server.dial()
                writer.write(b"y" * 1_000_000)
                writer.close()
                await until(lambda: server.built and len(server.only.events) == 3)
                assert len(server.only.received) == 1_000_000
                assert type(server.only.events[-1]) is ConnectionDone

        run(main())

    SIZE = 100_000  # more than our reads take, less than asyncio's

    async def paused(self, server: Server) -> Any:
        """A protocol that has paused, and whose transport asyncio has closed."""
        (await server.farewell(b"y" * self.SIZE)).close()
        await until(lambda: server.only.received)
        await until(lambda: server.only.transport.socket.gone)
        return server.only

    def test_theEndIsToldWhenItIsReached(self, run: Run) -> None:
        async def main() -> None:
            async with Server() as server:
                protocol = await self.paused(server)
                await turns()
                assert protocol.events == ["made", "handshake"]
                assert len(protocol.received) < self.SIZE
                protocol.transport.resumeProducing()
                assert protocol.events == ["made", "handshake"]  # not from inside
                await until(lambda: len(protocol.events) == 3)
                assert len(protocol.received) == self.SIZE
                assert type(protocol.events[-1]) is ConnectionDone

        run(main())

    def test_pausedFromTheBeginning(self, run: Run) -> None:
        """Data that the TLS of the event loop has not even decrypted is delivered, too."""

        class Shut(Served):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.pauseProducing()

        async def main() -> None:
            async with Server(Shut) as server:
                (await server.farewell(b"y" * self.SIZE)).close()
                await turns(50)  # the peer's end comes, if anything comes: asyncio's TLS may have paused as well
                assert server.only.events == ["made", "handshake"]
                server.only.transport.resumeProducing()
                await until(lambda: server.only.received)
                server.only.transport.resumeProducing()
                await until(lambda: len(server.only.events) == 3)
                assert len(server.only.received) == self.SIZE
                assert type(server.only.events[-1]) is ConnectionDone

        run(main())

    def test_halves(self, run: Run) -> None:
        async def main() -> None:
            async with Server(Halves) as server:
                protocol = await self.paused(server)
                assert protocol.events == ["made", "handshake"]
                protocol.transport.resumeProducing()
                await until(lambda: len(protocol.events) == 4)
                assert len(protocol.received) == self.SIZE
                assert protocol.events[2] == "readLost"
                assert type(protocol.events[3]) is ConnectionDone

        run(main())

    def test_itLeaves(self, run: Run) -> None:
        """In each of the ways in which a protocol may, with what it has not read."""

        async def main() -> None:
            for leave, kind in (("loseConnection", ConnectionDone), ("abortConnection", ConnectionAborted)):
                async with Server() as server:
                    protocol = await self.paused(server)
                    protocol.transport.write(b"bye")
                    getattr(protocol.transport, leave)()
                    await until(lambda protocol=protocol: len(protocol.events) == 3)
                    assert type(protocol.events[-1]) is kind

        run(main())

    def test_whatIsWrittenGoesNowhere(self, run: Run) -> None:
        """As on a socket whose peer has closed: at first nobody notices, then it is an error. No producer runs on."""

        class Endless:
            asked = 0

            def __init__(self, transport: Any) -> None:
                self.transport = transport

            def resumeProducing(self) -> None:
                self.asked += 1
                self.transport.write(b"z" * 1000)

            def stopProducing(self) -> None:
                pass

        async def main() -> None:
            async with Server() as server:
                protocol = await self.paused(server)
                protocol.transport.write(b"x" * GOES_NOWHERE)
                await turns()
                assert len(protocol.events) == 2
                protocol.transport.write(b"x")
                await until(lambda: len(protocol.events) == 3)
                assert type(protocol.events[-1]) is ConnectionLost
                assert "the peer has closed the connection" in str(protocol.events[-1])
            async with Server() as server:
                protocol = await self.paused(server)
                producer = Endless(protocol.transport)
                protocol.transport.registerProducer(producer, False)
                await until(lambda: len(protocol.events) == 3)
                assert GOES_NOWHERE // 1000 <= producer.asked <= GOES_NOWHERE // 1000 + 2

        run(main())

    def test_aPeerThatHasNotReadWhatWeWroteBeforeWeLeft(self, run: Run) -> None:
        """Our end in order is not one if the peer closed before it took everything, and the reason says so."""

        class Talking(Served):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.setOutputLimits(1 << 26, 1 << 26)
                self.transport.write(b"x" * (1 << 25))
                self.transport.loseConnection()

        async def main() -> None:
            async with Server(Talking) as server:
                _, writer = await server.dial()
                await until(lambda: server.built and server.only.transport.socket.blocked)
                assert server.only.transport.disconnecting
                server.only.transport.socket.transport.abort()
                await until(lambda: len(server.only.events) == 2)
                assert type(server.only.events[-1]) is ConnectionLost
                assert "before it took" in str(server.only.events[-1])
                writer.close()

        run(main())


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("isPaused", [False, True])
def test_truncation(run: Run, isPaused: bool, halves: bool) -> None:
    """A stream that ends without close_notify is ConnectionLost, behind its data."""

    async def main() -> None:
        async with Server(Halves if halves else Served) as server:
            _, writer = await server.dial()
            writer.write(b"some words")
            await until(lambda: server.built and server.only.received)
            if not isPaused:
                server.only.transport.resumeProducing()
            sock = writer.transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(sock.fileno())) as same:
                same.shutdown(socket.SHUT_WR)
            if isPaused:
                await turns(50)  # the peer's end comes, if anything comes: asyncio's TLS may have paused as well
                assert len(server.only.events) == 2
                server.only.transport.resumeProducing()
            await until(lambda: len(server.only.events) == 3)
            assert type(server.only.events[-1]) is ConnectionLost
            assert "without close_notify" in str(server.only.events[-1])
            writer.transport.abort()

    run(main())


class TestWhatIsTold:
    @pytest.mark.parametrize("isLocal", [False, True])
    def test_ofTLS(self, run: Run, isLocal: bool, tmp_path: pathlib.Path) -> None:
        async def main() -> None:
            async with Server(path=tmp_path / "socket" if isLocal else None) as server:
                _, writer = await server.dial()
                await until(lambda: server.built)
                transport: IAnyTransport = server.only.transport
                assert server.only.events == ["made", "handshake"]
                assert transport.TLS
                assert transport.getTLSVersion() == "TLSv1.3"
                cipher = transport.getCipher()
                assert cipher is not None
                assert cipher[0].startswith("TLS_")
                assert transport.negotiatedProtocol is None
                assert transport.getPeerCertificate() is None
                assert not transport.getPeerCertificate(True)
                with pytest.raises(RuntimeError, match="started already"):
                    transport.startTLS(serverOptions())
                if isLocal:
                    assert server.only.transport.getPeerCredentials().pid == os.getpid()
                writer.close()
                await until(lambda: len(server.only.events) == 3)

        run(main())

    def test_ofTheServerToAClient(self, run: Run) -> None:
        async def main() -> None:
            writers: list[asyncio.StreamWriter] = []
            context, mine = serverOptions()._makeContext(), clientOptions().getContext()
            context.set_alpn_protocols(["lines"])
            mine.set_alpn_protocols(["lines"])
            server = await asyncio.start_server(lambda _, writer: writers.append(writer), LOOPBACK, 0, ssl=context)
            factory = ClientFactory.forProtocol(Served)
            _, adapter = await asyncio.get_running_loop().create_connection(
                ProtocolFactory(factory), *server.sockets[0].getsockname(), ssl=mine, server_hostname=HOST
            )
            transport = adapter.protocol.transport
            assert transport.negotiatedProtocol == b"lines"
            assert transport.getPeerCertificate()
            assert transport.getPeerCertificate(True)["subjectAltName"][0] == ("DNS", HOST)
            transport.loseConnection()
            await until(lambda: len(adapter.protocol.events) == 3)
            for writer in writers:
                writer.close()
            server.close()

        run(main())

    def test_handshakeCompletedThatRaises(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        class Raising(Served):
            def handshakeCompleted(self) -> None:
                raise LookupError("mine")

        async def main() -> None:
            async with Server(Raising) as server:
                _, writer = await server.dial()
                await until(lambda: server.built and len(server.only.events) == 2)
                assert type(server.only.events[-1]) is LookupError
                writer.close()

        run(main())
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]

    def test_handshakeCompletedOfOneThatLeaves(self, run: Run) -> None:
        class Leaving(Served):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        async def main() -> None:
            async with Server(Leaving) as server:
                _, writer = await server.dial()
                await until(lambda: server.built and len(server.only.events) == 2)
                assert type(server.only.events[-1]) is ConnectionDone
                writer.close()

        run(main())

    def test_ofUNIXSockets(self, run: Run, tmp_path: pathlib.Path) -> None:
        async def main() -> None:
            async with Server(path=tmp_path / "socket", secure=False) as server:
                _, writer = await server.dial()
                await until(lambda: server.built)
                transport = server.only.transport
                assert transport.getPeerCredentials() == (os.getpid(), os.getuid(), os.getgid())
                transport.setTcpNoDelay(True)
                transport.setTcpKeepAlive(True)
                assert (transport.getTcpNoDelay(), transport.TLS) == (False, False)
                with pytest.raises(RuntimeError, match="carry no descriptors"):
                    transport.sendFileDescriptor(0)
                server.only.fileDescriptorReceived = None
                writer.write(b"words")
                await until(lambda: server.only.received)
                transport.resumeProducing()
                writer.close()
                await until(lambda: len(server.only.events) == 2)

        run(main())


class TestStartTLS:
    """It is TLS of ours, above asyncio's transport."""

    class Upgrading(LineReceiver):
        options: Any = None
        hostname: str | None = None

        def __init__(self) -> None:
            self.events: list[Any] = []

        def lineReceived(self, line: bytes) -> None:
            self.events.append((line, self.transport.TLS))
            if line == b"STARTTLS":
                self.sendLine(b"go")
                self.begin()
            elif line == b"go":
                self.begin()
                self.sendLine(b"secret")
            elif line == b"secret":
                self.sendLine(b"bye")
            else:
                self.transport.loseConnection()

        def begin(self) -> None:
            self.transport.startTLS(self.options, hostname=self.hostname)

        def handshakeCompleted(self) -> None:
            self.events.append(self.transport.getTLSVersion())

        def connectionLost(self, reason: Any = None) -> None:
            self.events.append(reason.type)

    class Calling(Upgrading):
        def connectionMade(self) -> None:
            self.sendLine(b"STARTTLS")

    @pytest.mark.parametrize("isLocal", [False, True])
    def test_bothSides(self, run: Run, isLocal: bool, tmp_path: pathlib.Path) -> None:
        class Server_(self.Upgrading):  # type: ignore[name-defined,misc]
            options = serverOptions()

        class Client(self.Calling):  # type: ignore[name-defined,misc]
            options = peerContext(isClient=True)
            hostname = HOST

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with Server(Server_, tmp_path / "socket" if isLocal else None, secure=False) as server:
                factory = ProtocolFactory(ClientFactory.forProtocol(Client))
                if isLocal:
                    _, adapter = await loop.create_unix_connection(factory, str(server.path))
                else:
                    _, adapter = await loop.create_connection(factory, *server.server.sockets[0].getsockname())
                client = adapter.protocol
                await until(lambda: ConnectionDone in client.events and ConnectionDone in server.only.events)
                assert client.events == [(b"go", False), "TLSv1.3", (b"bye", True), ConnectionDone]
                assert server.only.events == [(b"STARTTLS", False), "TLSv1.3", (b"secret", True), ConnectionDone]

        run(main())

    def test_aClientNeedsTheHostsName(self, run: Run) -> None:
        """asyncio does not tell whom it has connected to."""

        class Client(self.Calling):  # type: ignore[name-defined,misc]
            def connectionMade(self) -> None:
                with pytest.raises(ValueError, match="host's name"):
                    self.transport.startTLS(peerContext(isClient=True))
                self.events.append("refused")
                self.transport.loseConnection()

        async def main() -> None:
            async with Server(secure=False) as server:
                _, adapter = await asyncio.get_running_loop().create_connection(
                    ProtocolFactory(ClientFactory.forProtocol(Client)), *server.server.sockets[0].getsockname()
                )
                await until(lambda: len(adapter.protocol.events) == 2)
                assert adapter.protocol.events == ["refused", ConnectionDone]

        run(main())

    def test_thePeerEndsInTheHandshake(self, run: Run) -> None:
        class Server_(self.Upgrading):  # type: ignore[name-defined,misc]
            options = serverOptions()

        async def main() -> None:
            async with Server(Server_, secure=False) as server:
                reader, writer = await server.dial()
                writer.write(b"STARTTLS\r\n")
                assert await reader.readexactly(4) == b"go\r\n"
                writer.close()
                await until(lambda: len(server.only.events) == 2)
                assert server.only.events[1].__name__ == "SSLError"

        run(main())


@pytest.mark.parametrize("isInside", [False, True])
def test_aLateEventLoopReadsFirst(run: Run, isInside: bool) -> None:
    """A deadline of transport.reactor's is judged by what had come in time; also after a stall between two reads."""

    class Deadline(policies.TimeoutMixin, LineReceiver):
        lines = 0
        ended: Any = None

        def callLater(self, period: float, func: Callable[[], object]) -> Any:
            return self.transport.reactor.callLater(period, func)

        def connectionMade(self) -> None:
            self.setTimeout(1.5 * LATE)

        def lineReceived(self, line: bytes) -> None:
            self.resetTimeout()
            self.lines += 1

        def timeoutConnection(self) -> None:
            self.ended = self.lines
            self.transport.abortConnection()

        def connectionLost(self, reason: Any = None) -> None:
            self.setTimeout(None)

    async def main() -> None:
        async with Server(Deadline, secure=False) as server:
            peers = [await server.dial() for _ in range(2)]
            await until(lambda: len(server.built) == 2)

            def stall() -> None:
                peers[0][1].write(b"in time\r\n")
                peers[1][1].write(b"bytes and no line")
                end = time.monotonic() + 2 * LATE
                while time.monotonic() < end:
                    pass

            loop, (near, far) = asyncio.get_running_loop(), socket.socketpair()
            if isInside:
                loop.add_reader(near, lambda: (near.recv(1), stall()))  # type: ignore[func-returns-value]
                far.send(b"x")
            else:
                loop.call_soon(stall)
            await until(lambda: any(each.ended is not None for each in server.built))
            assert sorted((each.lines, each.ended) for each in server.built if each.ended is not None) == [(0, 0)]
            assert sorted(each.lines for each in server.built) == [0, 1]
            await until(lambda: all(each.ended is not None for each in server.built))  # and the other in its time
            loop.remove_reader(near)
            near.close()
            far.close()
            for _, writer in peers:
                writer.close()

    run(main())


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["peer", "ours", "reset"])
def test_anEndThatIsInterrupted(run: Run, how: str, secure: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a signal's handler raises when asyncio tells of the end, the protocol is told, and once."""
    caplog.set_level(logging.CRITICAL, "asyncio")
    caplog.set_level(logging.CRITICAL, "reactor")

    class Reading(Served):
        def dataReceived(self, data: bytes) -> None:
            self.received += data

    async def trial(place: int) -> str:
        async with Server(Reading, secure=secure) as server:
            _, writer = await server.dial()
            writer.write(b"x")
            await until(lambda: server.built and server.only.received)
            begun = len(server.only.events)
            with Interrupter({"_ending", "connectionLost"}, place) as interrupter:
                if how == "ours":
                    server.only.transport.loseConnection()
                elif how == "peer":
                    writer.close()
                else:
                    sock = writer.transport.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                await until(lambda: len(server.only.events) > begun)
            await turns(20)
            assert len(server.only.events) == begun + 1, interrupter.where
            writer.transport.abort()
            await turns()
            return interrupter.where

    async def main() -> None:
        places = 0
        while where := await trial(places):
            places += 1
            assert places < 200, where
        assert places > 0

    run(main())
