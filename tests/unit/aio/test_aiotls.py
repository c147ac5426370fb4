"""LineWriter.start_tls: streams that begin in plain and go on with TLS, on asyncio's event loop and uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import trustme
import uvloop

from reactor.aio import LineReader, LineWriter, openConnection, startServer
from reactor.error import OutputLimitExceeded
from reactor.transports.output import OUTPUT_LIMIT
from tests.support.tlsworlds import CA, HOST, TRUST, clientOptions, pemOf, serverOptions, write
from tests.support.worlds import DEADLINE, LOOPBACK

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


class Accepted:
    """The server's side of one connection, whose handler waits until the test is over."""

    def __init__(self) -> None:
        self.pair: asyncio.Future[tuple[LineReader, LineWriter]] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def __call__(self, reader: LineReader, writer: LineWriter) -> None:
        self.pair.set_result((reader, writer))
        await self.over.wait()


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[tuple[Accepted, int]]:
    accepted = Accepted()
    server = await startServer(accepted, LOOPBACK, 0, **options)
    try:
        yield accepted, server.sockets[0].getsockname()[1]
    finally:
        accepted.over.set()
        server.close()
        if accepted.pair.done():
            accepted.pair.result()[1].transport.abort()
        await asyncio.sleep(0)


def clientContext() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=TRUST.decode())


def test_bothSidesGoOn(run: Run) -> None:
    """Bytes that were written before arrive in plain; bytes that are written during the handshake come behind it."""

    async def main() -> None:
        async with listening() as (accepted, port):
            reader, writer = await openConnection(LOOPBACK, port)
            served, serving = await accepted.pair
            writer.write(b"STARTTLS\n")
            assert await served.readline() == b"STARTTLS\n"
            serving.write(b"go\n")
            theirs = asyncio.ensure_future(serving.start_tls(serverOptions()))
            assert await reader.readline() == b"go\n"
            ours = asyncio.ensure_future(writer.start_tls(clientContext(), server_hostname=HOST))
            await asyncio.sleep(0)
            writer.write(b"early\n")
            await asyncio.gather(ours, theirs)
            assert await served.readline() == b"early\n"
            serving.write(b"x" * 1_000_000 + b"\n")
            serving.close()
            assert len(await reader.read()) == 1_000_001
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert not writer.can_write_eof()
            with pytest.raises(RuntimeError, match="TLS already"):
                await writer.start_tls(clientContext(), server_hostname=HOST)
            writer.close()
            await writer.wait_closed()

    run(main())


def test_aFactoryOfContexts(run: Run) -> None:
    """CertificateOptions and optionsForClientTLS are taken; the latter knows whom to verify."""

    async def main() -> None:
        async with listening() as (accepted, port):
            reader, writer = await openConnection(LOOPBACK, port)
            _served, serving = await accepted.pair
            await asyncio.gather(serving.start_tls(serverOptions()), writer.start_tls(clientOptions()))
            serving.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.mark.parametrize(
    ("sent", "options"),
    [
        (b"STARTTLS\nINJECTED\n", {}),
        (b"STARTTLS\nINJ", {}),
        (b"STARTTLS\n" + b"x" * 100, {"limit": 20, "overlong": "skip"}),
    ],
)
def test_whatCameInPlainIsRefused(run: Run, sent: bytes, options: dict[str, Any]) -> None:
    """It must not be read as if TLS had protected it. The rest of a line that is skipped is such, too."""

    async def main() -> None:
        async with listening(**options) as (accepted, port):
            with socket.create_connection((LOOPBACK, port)) as client:
                client.sendall(sent)
                served, serving = await accepted.pair
                assert await served.readline() == b"STARTTLS\n"
                if options:
                    served._buffer.skip()  # as a reader that goes on with the next line does
                with pytest.raises(ssl.SSLError, match="plain"):
                    await serving.start_tls(serverOptions())
                for read in (served.readline, served.read, served.readlines):
                    with pytest.raises(ssl.SSLError, match="plain"):
                        await read()
                with pytest.raises(ssl.SSLError, match="plain"):
                    await serving.wait_closed()

    run(main())


def test_plainBytesInPlaceOfTheHandshake(run: Run) -> None:
    """Nothing of them is read, and the connection ends."""

    async def main() -> None:
        async with listening() as (accepted, port):
            with socket.create_connection((LOOPBACK, port)) as client:
                served, serving = await accepted.pair
                upgrading = asyncio.ensure_future(serving.start_tls(serverOptions()))
                await asyncio.sleep(0)
                client.sendall(b"INJECTED\n")
                with pytest.raises(OSError, match=r".+"):
                    await upgrading
                with pytest.raises(OSError, match=r".+"):
                    await served.readline()
                with pytest.raises(OSError, match=r".+"):
                    await serving.wait_closed()

    run(main())


def test_aHostThatIsAnotherOne(run: Run) -> None:
    """A client does not go on with a server that has no certificate of that name; both sides are told, and end."""

    async def main() -> None:
        async with listening() as (accepted, port):
            reader, writer = await openConnection(LOOPBACK, port)
            served, serving = await accepted.pair
            theirs = asyncio.ensure_future(serving.start_tls(serverOptions()))
            with pytest.raises(ssl.SSLCertVerificationError):
                await writer.start_tls(clientContext(), server_hostname="other.test")
            with pytest.raises(ssl.SSLCertVerificationError):
                await writer.wait_closed()
            with pytest.raises(ssl.SSLCertVerificationError):
                await reader.readline()
            with contextlib.suppress(OSError):  # with TLS 1.3 a server may be through before the client refuses
                await theirs
            with contextlib.suppress(OSError):
                assert await served.readline() == b""

    run(main())


def test_mistakes(run: Run) -> None:
    """They are told at once, and nothing has happened."""

    async def main() -> None:
        async with listening() as (accepted, port):
            reader, writer = await openConnection(LOOPBACK, port)
            _served, serving = await accepted.pair
            mistakes: list[tuple[LineWriter, Any, type[Exception], str]] = [
                (serving, None, ValueError, "a server needs a context"),
                (serving, clientContext(), ValueError, "for the other side"),
                (writer, clientContext(), ValueError, "server_hostname"),
                (writer, "context", TypeError, "context"),
            ]
            for each, context, kind, text in mistakes:
                with pytest.raises(kind, match=text):
                    await each.start_tls(context)
            serving.write(b"still here\n")
            assert await reader.readline() == b"still here\n"
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ConnectionResetError):
                await writer.start_tls(clientContext(), server_hostname=HOST)

    run(main())


@pytest.mark.parametrize("how", ["cancel", "close", "eof", "timeout", "flood"])
def test_aHandshakeThatComesToNothing(run: Run, how: str) -> None:
    """The peer is silent, or has closed; the connection ends, and nobody waits for ever."""

    async def main() -> None:
        async with listening() as (accepted, port):
            with socket.create_connection((LOOPBACK, port)) as client:
                _served, serving = await accepted.pair
                deadline = 0.05 if how == "timeout" else None
                begin = functools.partial(serving.start_tls, serverOptions(), ssl_handshake_timeout=deadline)
                upgrading = asyncio.ensure_future(begin())
                await asyncio.sleep(0)
                with pytest.raises(RuntimeError, match="about to"):
                    await begin()
                if how == "cancel":
                    upgrading.cancel()
                elif how == "close":
                    serving.close()
                elif how == "eof":
                    client.close()
                elif how == "flood":
                    for _ in range(2):
                        serving.write(b"x" * OUTPUT_LIMIT)
                        assert not serving.is_closing()
                    serving.write(b"x")
                with pytest.raises((OSError, OutputLimitExceeded, asyncio.CancelledError)):
                    await upgrading
                with pytest.raises(OutputLimitExceeded if how == "flood" else OSError):
                    await serving.wait_closed()
                assert serving.is_closing()

    run(main())


def test_aRenewedCertificate(run: Run) -> None:
    """The context of `ssl=` is given the new files while the server runs: later connections get the new certificate."""
    first, second = CA.issue_cert(HOST), CA.issue_cert(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def shown(port: int) -> bytes:
        options: Any = {"ssl": clientContext(), "server_hostname": HOST}
        _reader, writer = await openConnection(LOOPBACK, port, **options)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return certificate

    def der(issued: trustme.LeafCert) -> bytes:
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    async def main() -> None:
        server = await startServer(lambda reader, writer: None, LOOPBACK, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        for issued in (first, second):
            context.load_cert_chain(write(f"{id(issued)}.pem", pemOf(issued)))
            assert await shown(port) == der(issued)
        server.close()

    run(main())
