"""A Server's limits, counters and records, over each family, with and without TLS, on each loop."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from reactor.defer import execute
from reactor.linereceiver import LineOnlyReceiver, LineReceiver
from reactor.protocol import Factory, Protocol
from reactor.service import ConnectionRecord, Limits, Listener, Server, draining, entries
from tests.contract.cells import CELLS, makeWorld
from tests.support.knocking import isLetIn
from tests.support.tlsworlds import HOST, TRUST, serverOptions
from tests.support.worlds import DEADLINE, World, dial

SOCKETS = [cell for cell in CELLS if "memory" not in cell[0]]
PLAIN = [cell for cell in SOCKETS if "TLS" not in cell[0]]
TCP = [cell for cell in PLAIN if "TCP" in cell[0]]


class Place:
    """An endpoint of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def listen(self, factory: Any) -> Any:
        return execute(self.world.listen, factory)


class Echo(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 100

    def lineReceived(self, line: bytes) -> None:
        if line == b"raise":
            raise ValueError("asked for")
        if line == b"flood":
            for _ in range(100):
                self.transport.write(b"x" * 100_000)
            return
        self.sendLine(line)


class Served:
    """A server in a world, one listener, and its clients."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = Server(world.reactor)
        self.records: list[ConnectionRecord] = []
        self.server.onEnded = self.records.append
        self.made: list[Any] = []
        self.clients: list[Any] = []

    def listen(self, protocol: Any = Echo, sendFin: bool = False, name: str = "it", **limits: Any) -> Listener:
        factory = Factory()

        def build(addr: Any) -> Any:
            self.made.append(protocol())
            return self.made[-1]

        factory.buildProtocol = build  # type: ignore[method-assign]
        got: list[Listener] = []
        listening = self.server.addListener(
            Place(self.world), factory, name=name, limits=Limits(**limits), sendFin=sendFin
        )
        listening.addCallback(got.append)
        self.listener = got[0]
        return self.listener

    def dial(self) -> Any:
        """A client, non-blocking; with TLS its handshake is done."""
        host = self.listener.ports[0].getHost()
        if hasattr(host, "port"):
            plain = dial(host.port, self.world.host)
        else:
            plain = socket.socket(socket.AF_UNIX)
            plain.connect(os.fsdecode(host.name))
        plain.setblocking(False)
        self.clients.append(plain)
        if self.world.isTLS:
            context = ssl.create_default_context(cadata=TRUST.decode())
            client = context.wrap_socket(plain, server_hostname=HOST, do_handshake_on_connect=False)
            self.clients[-1] = client
            self.world.until(lambda: _shakes(client))
        return self.clients[-1]

    def meet(self) -> Any:
        before = len(self.made)
        client = self.dial()
        self.world.until(lambda: len(self.made) > before)
        return client

    def read(self, client: Any, size: int) -> bytes:
        """Read from a client until there are `size` bytes, or the end."""
        got = bytearray()

        def hasAll() -> bool:
            with suppress(BlockingIOError, ssl.SSLWantReadError):
                while len(got) < size:
                    piece = client.recv(size - len(got))
                    if not piece:
                        return True
                    got.extend(piece)
            return len(got) >= size

        self.world.until(hasAll)
        return bytes(got)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.close()


def _shakes(client: Any) -> bool:
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    cell = getattr(request, "param", ("TCP4", "epoll"))
    world = makeWorld(cell)
    world.isTLS = "TLS" in cell[0]
    served = Served(world)
    yield served
    served.close()
    world.close()


def everywhere(cells: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("served", cells, ids=[" on ".join(cell) for cell in cells], indirect=True)


@everywhere(SOCKETS)
def test_theNewestIsRefused(served: Served) -> None:
    """Exactly as many as allowed are served; the next gets the refusal, before a protocol is built, and an end."""
    descriptors = len(os.listdir("/proc/self/fd"))
    listener = served.listen(maxConnections=2, refusal=b"full\n")
    first, second = served.meet(), served.meet()
    world, isTLS = served.world, served.world.isTLS
    world.isTLS = False
    third = served.dial()
    assert served.read(third, 100) == (b"" if isTLS else b"full\n")
    assert (listener.accepted, dict(listener.refused), len(served.made)) == (2, {"max-connections": 1}, 2)
    world.isTLS = isTLS
    for client in (first, second):
        client.sendall(b"hello\n")
        assert served.read(client, 6) == b"hello\n"
    first.close()
    world.until(lambda: len(listener.entries) == 1)
    fourth = served.meet()
    fourth.sendall(b"again\n")
    assert served.read(fourth, 6) == b"again\n"
    for client in served.clients:
        client.close()
    world.until(lambda: not listener.entries and not served.server.refusals._open)
    for port in listener.takePorts():
        port.stopListening()
    world.until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    assert listener.counters()["open"] == 0


@everywhere(TCP)
def test_soManyOfOneAddress(served: Served) -> None:
    listener = served.listen(maxPerAddress=1)
    client = served.meet()
    assert served.read(served.dial(), 1) == b""
    assert dict(listener.refused) == {"max-per-address": 1}
    client.close()
    served.world.until(lambda: not listener.entries)
    served.meet()


@everywhere(TCP)
@pytest.mark.parametrize("rule", ["deny", "allow"])
def test_networksAreRefused(served: Served, rule: str) -> None:
    networks = ["127.0.0.0/8", "::1"]
    limits: dict[str, Any] = {"deny": networks} if rule == "deny" else {"allow": ["192.0.2.0/24"]}
    listener = served.listen(**limits)
    assert served.read(served.dial(), 1) == b""
    assert (dict(listener.refused), served.made) == ({"denied": 1}, [])


def test_whatIsAllowedComesIn(served: Served) -> None:
    """`deny` is looked at first, so a network in both is refused."""
    listener = served.listen(allow=["127.0.0.0/8"], deny=["127.0.0.2"])
    served.meet()
    other = socket.socket()
    other.bind(("127.0.0.2", 0))
    other.connect(("127.0.0.1", listener.ports[0].getHost().port))
    other.setblocking(False)
    assert served.read(other, 1) == b""
    other.close()
    assert dict(listener.refused) == {"denied": 1}


@everywhere(SOCKETS)
def test_whatIsCountedIsExact(served: Served) -> None:
    listener = served.listen()
    client = served.meet()
    client.sendall(b"one\ntwo\nthr")
    assert served.read(client, 8) == b"one\ntwo\n"
    counters = listener.counters()
    assert (counters["open"], counters["accepted"], counters["linesIn"]) == (1, 1, 2)
    assert counters["pendingBytes"] == 3
    client.sendall(b"ee\n")
    assert served.read(client, 6) == b"three\n"
    assert listener.counters()["pendingBytes"] == 0
    client.close()
    served.world.until(lambda: served.records)
    ((name, _peer, why, lines, bytesIn, bytesOut, seconds),) = served.records
    assert (name, lines) == ("it", 3)
    assert why == "done" or served.world.isTLS
    assert 0 < seconds < DEADLINE
    counters = listener.counters()
    assert (counters["bytesIn"], counters["bytesOut"]) == (bytesIn, bytesOut)
    assert sum(counters["ended"].values()) == 1
    if not served.world.isTLS:
        assert (bytesIn, bytesOut) == (14, 14)
    else:
        assert min(bytesIn, bytesOut) > 14  # the socket carried the handshake, too


@everywhere(SOCKETS)
def test_aLineHasADeadline(served: Served) -> None:
    """Of its own: bytes now and then do not help; complete lines and silence between them do."""
    listener = served.listen(lineDeadline=0.4)
    slow, busy, silent = served.meet(), served.meet(), served.meet()
    last = [time.monotonic()]
    begun = time.monotonic()

    def isEvicted() -> bool:
        now = time.monotonic()
        if now > last[0] + 0.05:
            last[0] = now
            with suppress(OSError):
                slow.send(b"x")
            busy.sendall(b"line\nha")
            busy.sendall(b"lf\n")
        return bool(served.records)

    served.world.until(isEvicted)
    assert time.monotonic() - begun >= 0.4
    assert [record.why for record in served.records] == ["line-deadline"]
    assert dict(listener.ended) == {"line-deadline": 1}
    silent.sendall(b"still here\n")
    assert served.read(silent, 11) == b"still here\n"


@everywhere(PLAIN)
def test_theTimeThatAHandlerTakesIsNoneOfALine(served: Served) -> None:
    listener = served.listen(lineDeadline=0.2)
    client = served.meet()
    client.sendall(b"unfinished")
    served.world.until(lambda: listener.total.pending == 10)
    served.made[0].transport.pauseProducing()
    end = time.monotonic() + 0.6
    served.world.until(lambda: time.monotonic() > end)
    assert not served.records
    served.made[0].transport.resumeProducing()
    served.world.until(lambda: served.records)
    assert served.records[0].why == "line-deadline"


@everywhere(SOCKETS)
@pytest.mark.parametrize("limit", ["lineRate", "addressLineRate", "byteRate"])
def test_aRatePausesAndDropsNothing(served: Served, limit: str) -> None:
    if limit == "addressLineRate" and "UNIX" in type(served.world).__name__:
        limit = "lineRate"
    rate, size = (20, 5) if "line" in limit.lower() else (400 if served.world.isTLS else 150, 5)
    limits: dict[str, Any] = {limit: rate, "burst": 0.5}
    listener = served.listen(**limits)
    client = served.meet()
    begun = time.monotonic()
    sent = b"".join(b"%04d\n" % number for number in range(20))
    for at in range(0, len(sent), size):
        client.sendall(sent[at : at + size])
        served.world.until(lambda: True)
    assert served.read(client, len(sent)) == sent
    word = "byte-rate" if limit == "byteRate" else "line-rate"
    client.sendall(sent[:25])
    assert served.read(client, 25) == sent[:25]
    served.world.until(lambda: listener.limited[word] > 0)
    if word == "line-rate":
        assert time.monotonic() - begun >= 0.3  # 20 lines at once, 10 of them in debt: 0.5 s


@everywhere(PLAIN)
def test_bothMustWishToRead(served: Served) -> None:
    """The end of a pause for a rate does not undo the protocol's own pause, nor the other way round."""
    listener = served.listen(lineRate=1000.0)
    client = served.meet()
    (entry,) = listener.entries
    transport = served.made[0].transport
    entry.throttle()
    client.sendall(b"line\n")
    transport.resumeProducing()  # it has not paused; and this reads nothing now
    assert not served.world.reactor.isReading(transport)
    assert transport.isThrottled
    transport.pauseProducing()
    assert not transport.isThrottled
    entry.unthrottle()
    assert not served.world.reactor.isReading(transport)
    assert listener.total.lines == 0
    entry.throttle()
    transport.resumeProducing()
    entry.unthrottle()
    assert served.read(client, 5) == b"line\n"


@everywhere(SOCKETS)
def test_whoHoldsTheMostIsClosed(served: Served) -> None:
    """Above maxPending, until three quarters are left; the others stay."""

    class Long(Echo):
        MAX_LENGTH = 10_000

    listener = served.listen(Long, maxPending=10_000)
    small, large, larger = served.meet(), served.meet(), served.meet()
    small.sendall(b"s" * 500)
    large.sendall(b"l" * 3000)
    served.world.until(lambda: listener.total.pending == 3500)
    larger.sendall(b"L" * 6800)
    served.world.until(lambda: served.records)
    assert [record.why for record in served.records] == ["max-pending"]
    assert dict(listener.limited) == {"max-pending": 1}
    assert listener.counters()["pendingBytes"] == 3500
    for client, letter, size in ((small, b"s", 500), (large, b"l", 3000)):
        client.sendall(b"\n")
        assert served.read(client, size + 1) == letter * size + b"\n"
    assert listener.counters()["pendingBytes"] == 0


@everywhere([cell for cell in SOCKETS if cell[1] == "epoll"])
@pytest.mark.parametrize("isFlooded", [False, True], ids=["silent", "flooded"])
def test_aLimitFreesThePlaceSoon(served: Served, isFlooded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer past a limit that answers no end of TLS, and takes no output, is reset soon, in the limit's own name."""
    monkeypatch.setattr(entries, "LINGER", 0.2)

    class Closing(Echo):
        overlong = "close"

    limits: dict[str, dict[str, Any]] = {
        "idle": {"idleTimeout": 0.2},
        "line-deadline": {"lineDeadline": 0.2},
        "max-pending": {"maxPending": 50},
        "overlong": {},
    }
    for number, (word, limit) in enumerate(limits.items()):
        served.listen(Closing, name=word, **limit)
        client = served.meet()
        if isFlooded:
            client.sendall(b"flood\n")
            (entry,) = served.listener.entries
            served.world.until(lambda entry=entry: entry.transport.unsent)
        if word != "idle":
            client.sendall(b"x" * (200 if word == "overlong" else 60))
        begun = time.monotonic()
        served.world.until(lambda number=number: len(served.records) > number)
        assert served.records[-1].why == word
        assert time.monotonic() - begun < 5.0  # TLS alone would wait 10 s, and TCP with output for ever
        assert not served.listener.entries
    assert not [each for each in served.world.reactor.getDelayedCalls() if "_cutOff" in repr(each)]


@everywhere(SOCKETS)
def test_outputHasABound(served: Served) -> None:
    listener = served.listen(maxOutput=200_000)
    client = served.meet()
    client.sendall(b"flood\n")
    served.world.until(lambda: served.records)
    assert served.records[0].why == "output"
    assert listener.counters()["outputOverflows"] == 1


@pytest.mark.parametrize("overlong", ["close", "skip"])
def test_longLinesAreCounted(served: Served, overlong: str) -> None:
    class Some(Echo):
        pass

    Some.overlong = overlong
    listener = served.listen(Some)
    client = served.meet()
    client.sendall(b"x" * 200 + b"\n")
    served.world.until(lambda: listener.counters()["overlong"] == 1)
    assert dict(listener.ended) == ({"overlong": 1} if overlong == "close" else {})


def test_whyItHasEnded(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.listen()
    clients = [served.meet() for _ in range(3)]
    clients[0].sendall(b"raise\n")
    served.world.until(lambda: len(served.records) == 1)
    served.made[1].transport.abortConnection()
    served.world.until(lambda: len(served.records) == 2)
    clients[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    clients[2].close()
    served.world.until(lambda: len(served.records) == 3)
    assert [record.why for record in served.records] == ["handler", "aborted", "lost"]
    assert "asked for" in caplog.text


@everywhere([cell for cell in SOCKETS if cell[0] == "TLS over TCP"])
def test_aFailedHandshakeIsCounted(served: Served) -> None:
    listener = served.listen()
    served.world.isTLS = False
    client = served.dial()
    client.sendall(b"no TLS\n")
    served.world.until(lambda: served.records)
    assert (served.records[0].why, served.made, listener.accepted) == ("tls", [], 1)


def test_onlyLinesAndEveryProtocol(served: Served) -> None:
    class Only(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)

    listener = served.listen(Only, lineDeadline=0.2)
    client = served.meet()
    client.sendall(b"a\nb\nrest")
    assert served.read(client, 4) == b"a\nb\n"
    assert (listener.total.lines, listener.total.pending) == (2, 4)
    assert (served.made[0].lineCount, served.made[0].heldSize) == (2, 4)
    served.world.until(lambda: served.records)
    assert served.records[0].why == "line-deadline"


def test_aProtocolWithoutLines(served: Served) -> None:
    listener = served.listen(Protocol, lineDeadline=0.1)
    client = served.meet()
    client.sendall(b"bytes")
    served.world.until(lambda: listener.total.bytesIn == 5)
    assert (listener.total.lines, listener.total.pending) == (0, 0)


def test_startTLSKeepsTheCount(served: Served) -> None:
    class Starting(Echo):
        def lineReceived(self, line: bytes) -> None:
            if line == b"start":
                self.transport.startTLS(serverOptions())
            else:
                self.sendLine(line)

    listener = served.listen(Starting)
    client = served.meet()
    client.sendall(b"start\n")
    served.world.until(lambda: listener.total.lines == 1)
    context = ssl.create_default_context(cadata=TRUST.decode())
    secure = context.wrap_socket(client, server_hostname=HOST, do_handshake_on_connect=False)
    served.clients[0] = secure
    served.world.until(lambda: _shakes(secure))
    secure.sendall(b"safe\n")
    assert served.read(secure, 5) == b"safe\n"
    assert listener.total.lines == 2
    secure.close()
    served.world.until(lambda: served.records)
    assert (len(listener.entries), served.records[0].lines) == (0, 2)


@everywhere(TCP)
def test_optionsOfSockets(served: Served) -> None:
    listener = served.listen(keepalive=(61, 11, 4), userTimeout=7.5, backlog=3)
    served.meet()
    sock = served.made[0].transport.getHandle()
    options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
    assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [61, 11, 4, 7500]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    info = listener.ports[0].socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    assert int.from_bytes(info[28:32], "little") == 3  # tcpi_sacked: of a listening socket, its backlog


def test_anOpenSocketIsAdopted(served: Served) -> None:
    listener = served.server.makeListener(Factory.forProtocol(Echo), name="adopted", limits=Limits(maxConnections=1))
    with socket.create_server(("127.0.0.1", 0)) as given:
        listener.adopt(given)
        with socket.create_connection(given.getsockname()) as client:
            client.sendall(b"hello\n")
            client.setblocking(False)
            assert served.read(client, 6) == b"hello\n"
            with socket.create_connection(given.getsockname()) as second:
                second.setblocking(False)
                assert served.read(second, 1) == b""
    assert (listener.accepted, dict(listener.refused)) == (1, {"max-connections": 1})


def test_aSnapshot(served: Served) -> None:
    listener = served.listen()
    served.server.addCounters("mine", lambda: {"kept": 3})
    served.meet().sendall(b"a\n")
    served.world.until(lambda: listener.total.lines == 1)
    found = json.loads(json.dumps(served.server.stats()))
    assert found["state"] == "starting"
    assert found["pid"] == os.getpid()
    assert found["application"] == {"mine": {"kept": 3}}
    assert found["peers"] == [{"peer": "127.0.0.1", "open": 1, "lines": 1, "bytes": 4}]
    assert sorted(found["loop"]) == ["cpuSeconds", "lag", "lagMax", "rssBytes", "slowCallbacks"]
    with pytest.raises(ValueError, match="there is a listener 'it' already"):
        served.server.makeListener(Factory(), name="it")


def test_aFailedListenerIsNone(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:

        class Taken:
            def listen(self, factory: Any) -> Any:
                return execute(served.world.reactor.listenTCP, taken.getsockname()[1], factory, interface="127.0.0.1")

        failed: list[Any] = []
        served.server.addListener(Taken(), Factory.forProtocol(Echo), name="it").addErrback(failed.append)
    assert "Couldn't listen" in str(failed[0].value)
    assert served.server.listeners == {}


@everywhere(SOCKETS)
@pytest.mark.parametrize("sendFin", [False, True])
def test_aDrainKeepsWhatItReads(served: Served, sendFin: bool) -> None:
    """Lines that came before the drain are answered, also those of a connection that its rate has paused."""
    listener = served.listen(lineRate=5.0)
    client = served.meet()
    client.sendall(b"".join(b"%d\n" % number for number in range(20)))
    served.world.until(lambda: listener.total.lines >= 1)
    client.sendall(b"last\n")
    done: list[int] = []
    served.server.drain(grace=3.0, sendFin=sendFin).addCallback(done.append)
    again: list[int] = []
    served.server.drain().addCallback(again.append)
    expected = b"".join(b"%d\n" % number for number in range(20)) + b"last\n"
    answered = served.read(client, 1000)
    assert expected.startswith(answered)
    assert answered == expected or sendFin  # our half ends at once then, and what comes is only received
    served.world.until(lambda: listener.total.lines == 21)
    client.close()
    served.world.until(lambda: bool(done))
    assert (done, again, served.server.untaken) == ([0], [0], 0)
    assert served.records[0].why == "drained" or served.world.isTLS
    assert served.server.stats()["state"] == "draining"


@everywhere(SOCKETS)
@pytest.mark.parametrize("isLast", [False, True])
def test_theLastMomentOfAPort(served: Served, isLast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client between the last accept and the close is reset, unless the drain is that of the only process."""
    listener = served.listen()
    port = listener.ports[0]
    family = port.socket.family
    address = port.socket.getsockname()
    placeholder = served.world.reactor.placeholder
    letIn: list[bool] = []

    def between() -> int:
        letIn.append(isLetIn(family, address))
        number: int = placeholder()
        return number

    monkeypatch.setattr(served.world.reactor, "placeholder", between)
    done: list[int] = []
    served.server.drain(grace=3.0, isLast=isLast).addCallback(done.append)
    served.world.until(lambda: bool(done))
    assert letIn == [not isLast]


@everywhere(PLAIN)
def test_aListenerThatOnlyReceives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients see our end at once; a line that crosses it is kept, and their own end is all that is waited for."""
    monkeypatch.setattr(draining, "HEED", 10.0)
    listener = served.listen(sendFin=True)
    client = served.meet()
    client.sendall(b"early\n")
    served.world.until(lambda: listener.total.lines == 1)
    done: list[int] = []
    served.server.drain(grace=100.0).addCallback(done.append)
    assert served.read(client, 1000) == b"early\n"
    begun = time.monotonic()
    served.world.until(lambda: time.monotonic() > begun + 0.3)  # longer than a drain waits for a silent peer otherwise
    client.sendall(b"late\n")
    served.world.until(lambda: listener.total.lines == 2)
    assert not done
    client.close()
    served.world.until(lambda: bool(done))
    assert (done, served.server.untaken) == ([0], 0)
    assert time.monotonic() < begun + 9
