"""Other people's HTTP clients, in plain and over TLS: curl, wget, nc, h2load, wrk, and those of Python."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import pathlib
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import websockets.asyncio.client
import wsproto
from wsproto.events import BytesMessage, CloseConnection, Ping, Request, TextMessage

from reactor.http import HTTPError, HTTPFactory, Response
from reactor.protocol import Protocol
from tests.support.tlsworlds import HOST, TRUST, TLSWorld, write
from tests.support.worlds import DEADLINE, LOOPBACK, World

BODY = bytes(range(256)) * 4096  # 1 MiB


class Echoing(Protocol):
    """A WebSocket that sends back what it gets: wsproto has the frames."""

    def __init__(self, request: Any) -> None:
        fields = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
        self.socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.socket.initiate_upgrade_connection(fields, request.uri.decode())
        (event,) = self.socket.events()
        assert isinstance(event, Request)
        self.answer = self.socket.send(wsproto.events.AcceptConnection())

    def dataReceived(self, data: bytes) -> None:
        self.socket.receive_data(data)
        for event in self.socket.events():
            if isinstance(event, TextMessage | BytesMessage):
                echo: Any = type(event)
                self.transport.write(self.socket.send(echo(event.data, message_finished=event.message_finished)))
            elif isinstance(event, Ping | CloseConnection):
                self.transport.write(self.socket.send(event.response()))
                if isinstance(event, CloseConnection):
                    self.transport.loseConnection()


def upgrade(request: Any) -> Any:
    """Hand the connection over; the fields of the answer are wsproto's."""
    try:
        protocol = Echoing(request)
    except wsproto.utilities.RemoteProtocolError as error:
        raise HTTPError(400, f"no WebSocket: {error}") from None
    lines = protocol.answer.split(b"\r\n")[1:-2]
    return request.takeOver(protocol, 101, [tuple(line.split(b": ", 1)) for line in lines])


async def handler(request: Any) -> Any:
    match request.path:
        case b"/hello":
            return b"hello\n"
        case b"/echo":
            return Response(200, await request.body, {"Content-Type": "application/octet-stream"})
        case b"/stream":
            return Response(200, pieces(request))
        case b"/ws":
            return upgrade(request)
        case b"/fail":
            raise KeyError("secret")
        case b"/moved":
            return Response(302, b"", {"Location": "/hello"})
    raise HTTPError(404)


async def pieces(request: Any) -> AsyncIterator[bytes]:
    async for piece in request.body:
        yield piece


class Server:
    def __init__(self, world: World) -> None:
        self.world = world
        port = world.listen(HTTPFactory.forHandler(handler, reactor=world.reactor)).getHost().port
        self.port = port
        self.isTLS = isinstance(world, TLSWorld)
        self.origin = f"https://{LOOPBACK}:{port}" if self.isTLS else f"http://{LOOPBACK}:{port}"
        self.root = write("http-root.pem", TRUST)

    def run(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program while the server serves; it succeeds."""
        done = self.beside(
            lambda: subprocess.run(command, input=stdin, capture_output=True, timeout=DEADLINE, check=False)
        )
        assert done.returncode == 0, (done.returncode, done.stderr, done.stdout[:500])
        result: subprocess.CompletedProcess[bytes] = done
        return result

    def beside(self, function: Callable[[], Any]) -> Any:
        """Call a function that blocks in a thread while the server serves; return its result."""
        results: list[Any] = []

        def call() -> None:
            try:
                results.append((True, function()))
            except BaseException as error:
                results.append((False, error))

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        self.world.until(lambda: results)
        thread.join()
        ((isResult, value),) = results
        if not isResult:
            raise value
        return value

    def curl(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return self.run("curl", "-sS", "--max-time", "15", "--cacert", self.root, *arguments, stdin=stdin).stdout


@pytest.fixture(params=[World, TLSWorld], ids=["plain", "TLS"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    world = request.param()
    yield Server(world)
    world.close()


class TestCurl:
    pytestmark = pytest.mark.needs("curl")

    def test_twoOnOneConnection(self, server: Server) -> None:
        said = server.curl("-w", "%{num_connects} ", f"{server.origin}/hello", f"{server.origin}/hello")
        assert said == b"hello\n1 hello\n0 "

    def test_chunkedUpload(self, server: Server) -> None:
        for path in ("echo", "stream"):
            assert server.curl("-T", "-", f"{server.origin}/{path}", stdin=BODY) == BODY

    def test_expect(self, server: Server) -> None:
        """With a patience far beyond the test's: the 100 comes, or the answer does."""
        for path, code in (("echo", b"200"), ("stream", b"200"), ("nothing", b"404")):
            patient = ("--expect100-timeout", "600", "-H", "Expect: 100-continue", "-w", " %{http_code}")
            said = server.curl(*patient, "--data-binary", "@-", f"{server.origin}/{path}", stdin=BODY)
            assert said.rpartition(b" ")[2] == code
            assert code != b"200" or said[:-4] == BODY

    def test_oldVersion(self, server: Server) -> None:
        for more in ([], ["-H", "Connection: keep-alive"]):
            assert server.curl("--http1.0", *more, f"{server.origin}/hello") == b"hello\n"
            assert server.curl("--http1.0", *more, "--data-binary", "x=y", f"{server.origin}/stream") == b"x=y"

    def test_headAndOthers(self, server: Server) -> None:
        assert b"Content-Length: 6\r\n" in server.curl("-I", f"{server.origin}/hello")
        assert server.curl("-X", "OPTIONS", "--request-target", "*", "-w", "%{http_code}", server.origin)[-3:] == b"404"
        assert server.curl("-L", f"{server.origin}/moved") == b"hello\n"
        assert server.curl(f"{server.origin}/fail") == b"Internal Server Error\n"
        large = ("-H", f"X: {'x' * 9000}", "-w", " %{http_code}")
        assert server.curl(*large, f"{server.origin}/hello").endswith(b" 431")

    def test_tooLarge(self, server: Server) -> None:
        """The client sees the answer, not a reset, though it sends on."""
        said = server.curl(
            "-H", "Expect:", "--data-binary", "@-", "-w", " %{http_code}", f"{server.origin}/echo", stdin=BODY * 4
        )
        assert said.endswith(b" 413")


@pytest.mark.needs("wget")
def test_wget(server: Server) -> None:
    said = server.run(
        "wget", "-q", "-O", "-", f"--ca-certificate={server.root}", f"{server.origin}/hello", f"{server.origin}/moved"
    )
    assert said.stdout == b"hello\nhello\n"


@pytest.mark.needs("netcat-openbsd")
def test_nc() -> None:
    world = World()
    try:
        server = Server(world)
        request = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        for more in ([], ["-N"]):
            said = server.run("nc", *more, LOOPBACK, str(server.port), stdin=request)
            assert said.stdout.endswith(b"\r\n\r\nhello\n")
    finally:
        world.close()


@pytest.mark.needs("h2load")
def test_h2load(server: Server) -> None:
    for clients, deep in (("1", "1"), ("20", "8")):
        said = server.run("h2load", "--h1", "-n", "2000", "-c", clients, "-m", deep, f"{server.origin}/hello").stdout
        assert b"2000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said


@pytest.mark.needs("wrk")
def test_wrk(server: Server, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "deep.lua"
    script.write_text(
        "init = function(args) local r = {} for i = 1, 24 do r[i] = wrk.format() end pipelined = table.concat(r) end\n"
        "request = function() return pipelined end\n"
    )
    for more in (["-s", str(script)],) if server.isTLS else ([], ["-s", str(script)]):
        said = server.run("wrk", "-c", "8", "-t", "1", "-d", "1", *more, f"{server.origin}/hello").stdout
        assert b"requests in" in said
        assert b"Socket errors" not in said
        assert b"Non-2xx" not in said


class TestPython:
    def test_httpClient(self, server: Server) -> None:
        def talk() -> list[Any]:
            context = ssl.create_default_context(cadata=TRUST.decode())
            connection: http.client.HTTPConnection
            if server.isTLS:
                connection = http.client.HTTPSConnection(LOOPBACK, server.port, context=context, timeout=DEADLINE)
            else:
                connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=DEADLINE)
            with contextlib.closing(connection):
                found = []
                for method, path, body in (
                    ("GET", "/hello", None),
                    ("HEAD", "/hello", None),
                    ("POST", "/echo", BODY),
                    ("PUT", "/stream", iter([b"a", b"b"])),
                    ("GET", "/nothing", None),
                ):
                    connection.request(method, path, body, encode_chunked=path == "/stream")
                    response = connection.getresponse()
                    found.append((response.status, response.read()))
                return found

        expected = [(200, b"hello\n"), (200, b""), (200, BODY), (200, b"ab"), (404, b"Not Found\n")]
        assert server.beside(talk) == expected

    def test_requests(self, server: Server) -> None:
        def talk() -> list[bytes]:
            with requests.Session() as session:
                session.verify = server.root
                session.trust_env = False
                kept = [session.get(f"{server.origin}/moved", timeout=DEADLINE)]
                kept.append(session.post(f"{server.origin}/echo", data=BODY, timeout=DEADLINE))
                kept.append(session.post(f"{server.origin}/stream", data=iter([b"a", BODY]), timeout=DEADLINE))
                return [response.content for response in kept]

        assert server.beside(talk) == [b"hello\n", BODY, b"a" + BODY]

    def test_httpx(self, server: Server) -> None:
        def talk() -> list[bytes]:
            verify = ssl.create_default_context(cadata=TRUST.decode())
            with httpx.Client(verify=verify, trust_env=False, timeout=DEADLINE) as client:
                kept = [client.get(f"{server.origin}/hello") for _ in range(3)]
                kept.append(client.post(f"{server.origin}/echo", content=BODY))
                kept.append(client.post(f"{server.origin}/stream", content=iter([b"a", BODY])))
                return [response.content for response in kept]

        assert server.beside(talk) == [b"hello\n"] * 3 + [BODY, b"a" + BODY]

    def test_aiohttp(self, server: Server) -> None:
        async def talk() -> list[bytes]:
            context = ssl.create_default_context(cadata=TRUST.decode())
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector) as session:
                found = []
                for _ in range(3):
                    async with session.get(f"{server.origin}/hello") as response:
                        found.append(await response.read())
                async with session.post(f"{server.origin}/echo", data=BODY, expect100=True) as response:
                    found.append(await response.read())
                async with session.ws_connect(f"{server.origin}/ws") as socket:
                    await socket.send_bytes(BODY)
                    found.append(await socket.receive_bytes())
                return found

        assert server.beside(lambda: asyncio.run(talk())) == [b"hello\n"] * 3 + [BODY, BODY]


def test_webSocket(server: Server) -> None:
    """The client is the package `websockets`."""

    async def talk() -> list[Any]:
        context = ssl.create_default_context(cadata=TRUST.decode()) if server.isTLS else None
        uri = f"{server.origin.replace('http', 'ws', 1)}/ws"
        options: Any = {"server_hostname": HOST} if server.isTLS else {}
        async with websockets.asyncio.client.connect(uri, ssl=context, proxy=None, max_size=None, **options) as socket:
            found: list[Any] = []
            for message in ("text", b"bytes", BODY):
                await socket.send(message)
                found.append(await socket.recv())
            await (await socket.ping())
        found.append(socket.close_code)
        return found

    assert server.beside(lambda: asyncio.run(talk())) == ["text", b"bytes", BODY, 1000]


def test_webSocketThatIsNone(server: Server) -> None:
    verify = ssl.create_default_context(cadata=TRUST.decode())
    response = server.beside(lambda: httpx.get(f"{server.origin}/ws", verify=verify, trust_env=False, timeout=DEADLINE))
    assert response.status_code == 400
