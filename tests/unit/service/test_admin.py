"""The admin pages: paths, methods, fields, hosts that may ask, and server-sent events."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from reactor import Clock
from reactor.address import IPv4Address, IPv6Address, UNIXAddress
from reactor.service.admin import LocalSource, RemoteSource, adminFactory
from reactor.service.admin.history import HISTORY
from tests.support.httpscenes import Answer, Scene, get, post
from tests.support.statuses import snapshotOf, statusOf

DEADLINE = 60.0
PATHS = [b"/", b"/healthz", b"/readyz", b"/status.json", b"/metrics"]


class Admin:
    """The pages of a RemoteSource. Each connection is a Scene."""

    def __init__(self, **arguments: Any) -> None:
        self.clock = Clock()
        self.source = RemoteSource(version="1.2.3", reactor=self.clock)
        self.factory = adminFactory(self.source, **arguments)
        self.factory.startFactory()

    def feed(self, accepted: int = 1, **more: Any) -> None:
        self.source.feed(statusOf(snapshotOf(accepted=accepted), **more))

    def scene(self, address: Any = None) -> Scene:
        scene = Scene(factory=self.factory)
        if address is not None:
            scene.transport.getHost = lambda: address  # type: ignore[method-assign]
        return scene

    def ask(self, path: bytes, *fields: bytes, method: bytes = b"GET") -> Answer:
        scene = self.scene()
        scene.peer.transport.write(get(path, *fields, method=method))
        (answer,) = scene.take(method)
        return answer

    def subscribe(self, *fields: bytes) -> Subscriber:
        scene = self.scene()
        scene.peer.transport.write(get(b"/events", *fields))
        scene.pump.flush()
        return Subscriber(scene)


class Subscriber:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        data = bytes(scene.peer.received)
        self.head, _, _ = data.partition(b"\r\n\r\n")

    def events(self) -> list[tuple[str, Any]]:
        """All events so far: their names and data, chunks and the hint about retries taken away."""
        self.scene.pump.flush()
        body = bytes(self.scene.peer.received).partition(b"\r\n\r\n")[2]
        text = b""
        while body and not body.startswith(b"0\r\n"):
            size, _, body = body.partition(b"\r\n")
            text += body[: int(size, 16)]
            body = body[int(size, 16) + 2 :]
        hint, *blocks = text.decode().split("\n\n")
        assert hint == "retry: 1000"
        assert blocks.pop() == ""
        found = []
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((fields["event"], json.loads(fields["data"])))
        return found

    @property
    def accepted(self) -> list[int]:
        """The connections accepted by each status that has come."""
        statuses = [data for name, data in self.events() if name == "status"]
        return [sum(total["accepted"] for total in status["totals"].values()) for status in statuses]


# Paths and methods.


def test_health() -> None:
    assert Admin().ask(b"/healthz")[:1] == (200,)
    assert Admin().ask(b"/healthz").body == b"alive\n"


def test_readiness() -> None:
    admin = Admin()
    answers = [admin.ask(b"/readyz")]
    for state in ("ready", "draining"):
        admin.feed(state=state)
        answers.append(admin.ask(b"/readyz"))
    admin.feed()
    admin.clock.advance(30)
    answers.append(admin.ask(b"/readyz"))
    assert [(answer.code, answer.body) for answer in answers] == [
        (503, b"starting\n"),
        (200, b"ready\n"),
        (503, b"draining\n"),
        (503, b"no status of the server for 30 s\n"),
    ]
    assert admin.ask(b"/healthz").code == 200


def test_theStatusAsJSON() -> None:
    admin = Admin()
    admin.feed(7)
    answer = admin.ask(b"/status.json")
    assert (answer.code, answer.fields[b"content-type"]) == (200, b"application/json")
    assert json.loads(answer.body) == statusOf(snapshotOf(accepted=7))


def test_thePageIsOneFileOfItsOwn() -> None:
    answer = Admin().ask(b"/")
    assert (answer.code, answer.fields[b"content-type"]) == (200, b"text/html; charset=utf-8")
    page = answer.body.decode()
    links = re.findall(r"""\s(?:src|href|action|srcset|poster|data)=["']?([^"'\s>]+)""", page)
    assert [each for each in links if not each.startswith(("#main", "data:image/svg+xml,"))] == [
        "status.json",
        "status.json",
        "metrics",
        "readyz",
        "healthz",
    ]
    assert re.findall(r"https?:[^\s'\"]+", page) == ["http://www.w3.org/2000/svg"] * 2  # names, and not addresses
    for danger in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        " style=",
        "url(",
    ):
        assert danger not in page


@pytest.mark.parametrize("path", [b"/other", b"/index.html", b"//", b"/healthz/", b"/..", b"/status.html"])
def test_thereIsNoOtherPage(path: bytes) -> None:
    assert Admin().ask(path).code == 404


@pytest.mark.parametrize("path", [*PATHS, b"/events"])
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
def test_onlyGetAndHead(path: bytes, method: bytes) -> None:
    answer = Admin().ask(path, method=method)
    assert (answer.code, answer.fields[b"allow"]) == (405, b"GET, HEAD")


def test_aBodyIsNoTrouble() -> None:
    answers = Admin().scene().send(post(b"x" * 1000, path=b"/readyz"), get(b"/healthz"))
    assert [answer.code for answer in answers] == [405, 200]


@pytest.mark.parametrize("path", [*PATHS, b"/events"])
def test_head(path: bytes) -> None:
    admin = Admin()
    admin.feed()
    whole = admin.ask(path) if path != b"/events" else None
    answer = admin.ask(path, method=b"HEAD")
    assert (answer.code, answer.body) == (200, b"")
    if whole is not None:
        assert answer.fields[b"content-length"] == b"%d" % len(whole.body)
    assert len(admin.factory.streams) == 0


def test_aQueryIsIgnored() -> None:
    assert Admin().ask(b"/healthz?probe=1").code == 200


# Protection of the pages.


@pytest.mark.parametrize("path", [*PATHS, b"/other"])
def test_fieldsOfSecurity(path: bytes) -> None:
    fields = Admin().ask(path).fields
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert fields[b"cache-control"] == b"no-store"
    assert fields[b"referrer-policy"] == b"no-referrer"
    assert fields[b"x-frame-options"] == b"DENY"
    assert b"default-src 'none'" in fields[b"content-security-policy"]
    assert b"unsafe" not in fields[b"content-security-policy"]
    assert b"access-control-allow-origin" not in fields


def test_eventsHaveTheFieldsOfSecurity() -> None:
    head = Admin().subscribe().head.lower()
    for field in (b"cache-control: no-store", b"x-content-type-options: nosniff", b"content-type: text/event-stream"):
        assert field in head.split(b"\r\n")


def test_thePolicyNamesTheScriptAndTheStyleByTheirHashes() -> None:
    answer = Admin().ask(b"/")
    policy = dict(part.strip().split(b" ", 1) for part in answer.fields[b"content-security-policy"].split(b";"))
    for kind in (b"script", b"style"):
        (text,) = re.findall(rb"<%b>(.*?)</%b>" % (kind, kind), answer.body, re.DOTALL)
        assert policy[kind + b"-src"] == b"'sha256-%b'" % base64.b64encode(hashlib.sha256(text).digest())
    assert policy[b"connect-src"] == b"'self'"
    assert policy[b"frame-ancestors"] == b"'none'"


LOOPBACK = [
    IPv4Address("TCP", "127.0.0.1", 7070),
    IPv4Address("TCP", "127.4.5.6", 7070),
    IPv6Address("TCP", "::1", 7070),
    IPv6Address("TCP", "::ffff:127.0.0.1", 7070),
]


@pytest.mark.parametrize("address", LOOPBACK, ids=str)
@pytest.mark.parametrize(
    ("host", "code"),
    [
        (b"127.0.0.1:7070", 200),
        (b"127.0.0.1", 200),
        (b"[::1]:7070", 200),
        (b"10.0.0.1", 200),
        (b"localhost:7070", 200),
        (b"LOCALHOST.", 200),
        (b"admin.localhost", 200),
        (b"status.example:7070", 200),
        (b"Status.Example.", 200),
        (b"attacker.example", 421),
        (b"attacker.example:7070", 421),
        (b"127.0.0.1.attacker.example", 421),
        (b"localhost.attacker.example", 421),
        (b"notlocalhost", 421),
    ],
)
def test_namesOfOtherSitesAreRefusedOnLoopback(address: Any, host: bytes, code: int) -> None:
    """Another site's page may point its name here, and would read the answers (DNS rebinding)."""
    scene = Admin(hosts=["status.example"]).scene(address)
    request = b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    assert scene.ask(request).code == code
    events = b"GET /events HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    scene.peer.transport.write(events)
    scene.pump.flush()
    assert bytes(scene.peer.received).startswith(b"HTTP/1.1 %d " % code)


@pytest.mark.parametrize("address", [IPv4Address("TCP", "192.0.2.1", 7070), UNIXAddress(b"/run/admin.sock")], ids=str)
def test_elsewhereAnyNameMayAsk(address: Any) -> None:
    scene = Admin().scene(address)
    assert scene.ask(b"GET /healthz HTTP/1.1\r\nHost: anything.example\r\n\r\n").code == 200


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"hosts": "example.org"}, TypeError),
        ({"maxSubscribers": -1}, ValueError),
        ({"maxSubscribers": 1.5}, ValueError),
    ],
)
def test_wrongArguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        adminFactory(RemoteSource(reactor=Clock()), **arguments)


def test_aSourceThatIsNone() -> None:
    with pytest.raises(TypeError, match=r"a source has a method status\(\)"):
        adminFactory(object())  # type: ignore[arg-type]


# Metrics; test_adminmetrics.py reads them.


def test_withoutTheExtraMetricsNameIt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    answer = Admin().ask(b"/metrics")
    assert (answer.code, answer.body.count(b"\n")) == (501, 1)
    assert b"linereactor[metrics]" in answer.body


def test_onlyAProcessWithPagesImportsPrometheusClient() -> None:
    """And it does so before it serves: the import takes a tenth of a second."""
    program = """
import sys
from reactor import Clock
from reactor.service.admin import RemoteSource, adminFactory
print("prometheus_client" in sys.modules)
adminFactory(RemoteSource(reactor=Clock()))
print("prometheus_client" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=DEADLINE, text=True, check=True)
    assert done.stdout == "False\nTrue\n"


# Server-sent events.


def test_aSubscriberGetsThePastThenEachStatus() -> None:
    admin = Admin()
    admin.feed(1, now=1000.0)
    admin.feed(3, now=1001.0)
    subscriber = admin.subscribe()
    admin.feed(6, now=1002.0)
    (first, past), *statuses = subscriber.events()
    assert first == "history"
    assert past == [[1000.0, 10, 100, 1000, 1], [1001.0, 30, 300, 3000, 1]]
    assert [name for name, _ in statuses] == ["status", "status"]
    assert subscriber.accepted == [3, 6]
    assert statuses[-1][1] == statusOf(snapshotOf(accepted=6), now=1002.0)


def test_aSubscriberThatComesBackGetsThePastAgain() -> None:
    admin = Admin()
    admin.feed(1)
    assert [name for name, _ in admin.subscribe(b"Last-Event-ID: 1").events()] == ["history", "status"]


def test_thePastIsBounded() -> None:
    admin = Admin()
    for accepted in range(HISTORY + 10):
        admin.feed(accepted)
    (_, past), _ = admin.subscribe().events()
    assert [sample[1] for sample in past] == [10 * accepted for accepted in range(10, HISTORY + 10)]


def test_eventsAreNumbered() -> None:
    admin = Admin()
    admin.feed()
    subscriber = admin.subscribe()
    admin.feed()
    subscriber.events()
    assert re.findall(rb"id: (\d+)\n", bytes(subscriber.scene.peer.received)) == [b"1", b"2"]


def test_subscribersAreBounded() -> None:
    admin = Admin(maxSubscribers=2)
    first, _second = admin.subscribe(), admin.subscribe()
    answer = admin.ask(b"/events")
    assert (answer.code, answer.body) == (503, b"2 subscribers are here already\n")
    assert b"retry-after" in answer.fields
    assert admin.ask(b"/healthz").code == 200
    first.scene.leave()
    assert admin.subscribe().head.startswith(b"HTTP/1.1 200 ")


def test_aSubscriberThatReadsLateGetsTheNewestStatus() -> None:
    admin = Admin()
    late, other = admin.subscribe(), admin.subscribe()
    late.scene.channel.pauseProducing()  # its transport has too much output
    for accepted in range(1, 9):
        admin.feed(accepted)
    assert late.accepted == [0]
    late.scene.channel.resumeProducing()
    admin.feed(9)
    admin.feed(10)
    assert late.accepted == [0, 9, 10]
    assert other.accepted == list(range(11))


def test_aSubscriberThatDoesNotReadIsReset() -> None:
    admin = Admin()
    stuck, other = admin.subscribe(), admin.subscribe()
    stuck.scene.channel.pauseProducing()
    for accepted in range(9):
        admin.feed(accepted)
    other.scene.pump.flush()
    stuck.scene.pump.flush()
    assert (len(admin.factory.streams), stuck.scene.isOpen) == (2, True)
    admin.feed()
    stuck.scene.pump.flush()
    assert (len(admin.factory.streams), stuck.scene.isOpen, other.scene.isOpen) == (1, False, True)


def test_aSubscriberThatReadsNowAndThenStays() -> None:
    admin = Admin()
    slow = admin.subscribe()
    for _ in range(4):
        slow.scene.channel.pauseProducing()
        for accepted in range(9):
            admin.feed(accepted)
        slow.scene.channel.resumeProducing()
        admin.feed()
    assert len(admin.factory.streams) == 1


def test_theEndOfThePortsEndsTheStreamsInOrder() -> None:
    admin = Admin()
    subscriber = admin.subscribe()
    admin.factory.stopFactory()
    admin.feed()
    subscriber.scene.pump.flush()
    assert bytes(subscriber.scene.peer.received).endswith(b"\r\n0\r\n\r\n")
    assert subscriber.accepted == [0]
    late = admin.ask(b"/events")
    assert (late.code, late.body) == (503, b"this server ends\n")


def test_aSecondStart() -> None:
    admin = Admin()
    admin.factory.stopFactory()
    admin.factory.startFactory()
    subscriber = admin.subscribe()
    admin.feed(4)
    assert subscriber.accepted == [0, 4]


def test_anotherRequestOnTheSameConnectionWaits() -> None:
    admin = Admin()
    subscriber = admin.subscribe()
    subscriber.scene.peer.transport.write(get(b"/healthz"))
    admin.feed(1)
    assert subscriber.accepted == [0, 1]
    admin.factory.stopFactory()
    subscriber.scene.pump.flush()
    assert bytes(subscriber.scene.peer.received).endswith(b"alive\n")


def test_withALocalSource() -> None:
    clock = Clock()
    counts = iter(range(1, 100))
    factory = adminFactory(LocalSource(lambda: snapshotOf(accepted=next(counts)), reactor=clock))
    factory.startFactory()
    scene = Scene(factory=factory)
    scene.peer.transport.write(get(b"/events"))
    scene.pump.flush()
    clock.pump([1.0] * 3)
    assert Subscriber(scene).accepted == [1, 2, 3, 4]
    factory.stopFactory()
    assert clock.getDelayedCalls() == []


def test_aStatusThatFailsIsA500AndNoMore(caplog: pytest.LogCaptureFixture) -> None:
    factory = adminFactory(LocalSource(lambda: {"pid": "none"}, reactor=Clock()))
    factory.startFactory()
    for path in (b"/status.json", b"/metrics", b"/events"):
        assert Scene(factory=factory).ask(get(path)).code == 500
    assert Scene(factory=factory).ask(get(b"/healthz")).code == 200
    assert len(factory.streams) == 0
    assert len(caplog.records) == 3


# Over sockets.


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The pages in a process, fed by its standard input; and its port."""
    command = [sys.executable, "-m", "tests.support.adminserver", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_aPeerThatDoesNotReadCostsABoundedAmountAndIsReset(served: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = served
    assert process.stdin is not None
    event = json.dumps(statusOf(snapshotOf(), state="x" * 200_000)).encode() + b"\n"
    with ExitStack() as stack:
        stuck, reader = (stack.enter_context(closing(socket.socket())) for _ in range(2))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for sock in (stuck, reader):
            sock.settimeout(DEADLINE)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting = select.poll()
        waiting.register(stuck, 0)
        read = 0
        for sent in range(1, 300):
            process.stdin.write(event)
            process.stdin.flush()
            while read < sent * 200_000:
                data = reader.recv(1 << 20)
                assert data
                read += len(data)
            if waiting.poll(0):
                break
        else:
            raise AssertionError("the connection stands")
        assert waiting.poll(0)[0][1] & select.POLLERR
    with open(f"/proc/{process.pid}/status") as file:
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", file.read())
    assert int(peak) < 100_000


@pytest.mark.needs("curl")
def test_curlWithHTTP10(served: tuple[subprocess.Popen[bytes], int]) -> None:
    _process, port = served
    for path, code in (("healthz", "200"), ("readyz", "503"), ("metrics", "200"), ("", "200")):
        command = ["curl", "-s", "-0", "-o", "/dev/null", "-w", "%{http_code}", f"http://localhost:{port}/{path}"]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE, check=True, text=True)
        assert (path, done.stdout) == (path, code)
