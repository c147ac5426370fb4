"""Streams of lines over TLS by context factories, and what their two functions refuse at the call."""

from __future__ import annotations

import asyncio
import pathlib
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from reactor import CertificateOptions, ServerNameOptions, optionsForClientTLS
from reactor.aio import LineReader, LineWriter, openConnection, startServer
from reactor.aio.securing import askingContext
from reactor.tlsoptions import RELOAD_INTERVAL, defaultClientContext
from tests.support.rawtls import peerContext
from tests.support.tlsworlds import CA, CERTIFICATE, HOST, TRUST, certificatePath, pemOf, write
from tests.support.worlds import DEADLINE, LOOPBACK

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


async def shout(reader: LineReader, writer: LineWriter) -> None:
    async for line in reader:
        writer.write(line.upper())
    writer.close()


async def serialOf(port: Any, **options: Any) -> Any:
    """Return the serial number of the certificate that a server at `port` shows; it must answer a line, too."""
    reader, writer = await openConnection(*port.sockets[0].getsockname()[:2], **options)
    writer.write(b"word\n")
    assert await reader.readline() == b"WORD\n"
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return certificate["serialNumber"]


def test_arguments(run: Run) -> None:
    """Told at the call, and nothing is opened."""

    def asks(**options: Any) -> list[Coroutine[Any, Any, Any]]:
        return [startServer(shout, LOOPBACK, 0, **options), openConnection(LOOPBACK, 1, **options)]

    async def main() -> None:
        for given, words in (
            ({"delimiter": "\n"}, r"a delimiter is bytes, not str: write b'\\n'"),
            ({"delimiter": 10}, "a delimiter is bytes, not 10"),
            ({"delimiter": b""}, "the delimiter is empty"),
            ({"overlong": "ignore"}, 'overlong must be "close" or "skip", not \'ignore\''),
            ({"limit": "10"}, "limit is a number of bytes, not '10'"),
            ({"limit": None}, "limit is a number of bytes, not None"),
            ({"limit": 0}, "limit is a number of bytes, 1 or more, not 0"),
            ({"ssl": "server.pem"}, r"'server.pem' is neither an ssl\.SSLContext nor has it getContext\(\)"),
            ({"ssl": CertificateOptions}, "is a class, and an object of it is needed"),
        ):
            for asking in asks(**given):
                with pytest.raises((TypeError, ValueError), match=words):
                    await asking
        with pytest.raises(ValueError, match="this context is for the other side: a server needs"):
            await startServer(shout, LOOPBACK, 0, ssl=defaultClientContext())
        with pytest.raises(ValueError, match="this context is for the other side: a client needs"):
            await openConnection(LOOPBACK, 1, ssl=CertificateOptions(certificatePath()))
        with pytest.raises(TypeError, match="a server needs a certificate"):
            await startServer(shout, LOOPBACK, 0, ssl=True)
        handler: Any
        for handler in (shout(None, None), None, "shout"):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="clientConnected is a function of reader and writer, not "):
                await startServer(handler, LOOPBACK, 0)

    run(main())


def test_aSeparatorThatIsText(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="a separator is bytes, not str: write b'x'"):
            await LineReader().readuntil("x")  # type: ignore[arg-type]

    run(main())


def test_aHandlerOfOtherArgumentsIsLogged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def handler(reader: LineReader) -> None: ...

        server = await startServer(handler, LOOPBACK, 0)  # type: ignore[arg-type]
        reader, writer = await openConnection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()

    run(main())
    assert "a handler of" in caplog.text
    assert "takes 1 positional argument but 2 were given" in caplog.text


def test_contextFactories(run: Run) -> None:
    """Their host is verified, with their timeouts."""

    async def main() -> None:
        server = await startServer(shout, LOOPBACK, 0, ssl=CertificateOptions(certificatePath()))
        await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST))
        await serialOf(server, ssl=optionsForClientTLS("other.test", TRUST), server_hostname=HOST)
        await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST).getContext(), server_hostname=HOST)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await serialOf(server, ssl=optionsForClientTLS("other.test", TRUST))
        server.close()
        plain = await startServer(shout, LOOPBACK, 0, ssl=peerContext(isClient=False))
        await serialOf(plain, ssl=optionsForClientTLS(HOST, TRUST))
        plain.close()

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("named", [False, True])
def test_aRenewedCertificateIsServed(run: Run, tmp_path: pathlib.Path, version: Any, named: bool) -> None:
    """Also to a client that names no host."""
    path = tmp_path / "server.pem"
    path.write_bytes(pemOf(CERTIFICATE))
    now = [0.0]
    options = CertificateOptions(path, seconds=lambda: now[0])
    client = optionsForClientTLS(HOST if named else LOOPBACK, TRUST)
    client.getContext().maximum_version = version

    async def main() -> None:
        server = await startServer(shout, LOOPBACK, 0, ssl=options)
        before = await serialOf(server, ssl=client)
        path.write_bytes(pemOf(CA.issue_cert(HOST, LOOPBACK)))
        assert await serialOf(server, ssl=client) == before
        now[0] += RELOAD_INTERVAL
        assert await serialOf(server, ssl=client) != before
        server.close()

    run(main())


def test_certificatesByName(run: Run) -> None:
    """A factory that chooses by itself goes on to."""
    other = write("other.pem", pemOf(CA.issue_cert("other.test")))
    names = ServerNameOptions(CertificateOptions(certificatePath()), {"other.test": CertificateOptions(other)})

    async def main() -> None:
        server = await startServer(shout, LOOPBACK, 0, ssl=names)
        assert await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST)) != await serialOf(
            server, ssl=optionsForClientTLS("other.test", TRUST)
        )
        server.close()

    run(main())


def test_clientsAreAskedForCertificates(run: Run) -> None:
    options = CertificateOptions(certificatePath(), trustRoot=TRUST, acceptableProtocols=["lines"])

    async def main() -> None:
        server = await startServer(shout, LOOPBACK, 0, ssl=options)
        await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST, certificatePath(), ["lines"]))
        with pytest.raises((OSError, AssertionError)):
            await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST))
        server.close()

    run(main())


def test_theContextThatAsksIsLikeTheFirst() -> None:
    first = CertificateOptions(certificatePath(), trustRoot=TRUST, minimumVersion=ssl.TLSVersion.TLSv1_3)
    asking, context = askingContext(first), first.getContext()
    for name in ("options", "minimum_version", "maximum_version", "verify_mode", "verify_flags", "num_tickets"):
        assert getattr(asking, name) == getattr(context, name)
    assert asking is not context
    assert context.sni_callback is None


def test_aFactoryThatRaises(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """That connection is refused, and the record tells why."""

    class Factory:
        isBroken = False

        def getContext(self) -> ssl.SSLContext:
            if self.isBroken:
                raise OSError("no descriptor")
            return peerContext(isClient=False)

    factory = Factory()

    async def main() -> None:
        server = await startServer(shout, LOOPBACK, 0, ssl=factory)
        factory.isBroken = True
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST))
        factory.isBroken = False
        await serialOf(server, ssl=optionsForClientTLS(HOST, TRUST))
        server.close()

    run(main())
    assert "no context for a connection" in caplog.text
