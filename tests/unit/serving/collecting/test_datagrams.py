"""Datagrams for collect: each is one message; over UDP and UNIX sockets, on real sockets."""

from __future__ import annotations

import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.error import CannotListenError
from reactor.serving.collect import Collection
from reactor.serving.collecting.datagrams import messageOf
from reactor.serving.collecting.formats import asJSON, prefixed
from reactor.serving.collecting.places import DatagramPlace, datagramPlace, listenForDatagrams
from reactor.serving.errors import CommandError
from reactor.serving.framing import Framing
from reactor.serving.linefile import LineFile
from reactor.serving.output import Output
from tests.support.worlds import LOOPS, OURS, turnUntil


def unexpected(error: CommandError) -> None:
    pytest.fail(repr(error))


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    loop = request.param.makeReactor()
    yield loop
    request.param.close(loop)


@pytest.fixture
def ours() -> Iterator[Any]:
    loop = OURS.makeReactor()
    yield loop
    OURS.close(loop)


@pytest.mark.parametrize(
    ("description", "place"),
    [
        ("udp:514", ("udp", {"port": 514, "interface": "127.0.0.1"})),
        ("UDP:514:0.0.0.0", ("udp", {"port": 514, "interface": "0.0.0.0"})),
        (r"udp:0:interface=\:\:1", ("udp", {"port": 0, "interface": "::1"})),
        ("unixgram:/dev/log", ("unixgram", {"address": "/dev/log"})),
        (
            "unixgram:/dev/log:mode=666:lockfile=0",
            ("unixgram", {"address": "/dev/log", "mode": 0o666, "lockfile": False}),
        ),
        ("tcp:514", None),
        ("", None),
    ],
)
def test_places(description: str, place: Any) -> None:
    assert datagramPlace(description) == (place and DatagramPlace(*place))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("udp:", "the port of a udp endpoint is a whole number, not ''"),
        ("udp:70000", "the port of a udp endpoint is from 0 to 65535, not 70000"),
        ("udp", "a udp endpoint needs a port"),
        ("udp:1:a:b", "too many fields for a udp endpoint, which has port, interface"),
        ("udp:1:backlog=5", "udp endpoints have no field 'backlog'"),
        ("unixgram", "a unixgram endpoint needs a address"),
        ("unixgram:", "a unixgram endpoint needs an address"),
        ("unixgram:/x:mode=9", "the mode of a unixgram endpoint is an octal number, not '9'"),
        ("udp:1\\", "ends in a backslash"),
    ],
)
def test_badPlaces(description: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        datagramPlace(description)


@pytest.mark.parametrize(
    ("datagram", "message"),
    [
        (b"text", b"text"),
        (b"text\n", b"text"),
        (b"text\0", b"text"),
        (b"text\r\n", b"text"),
        (b"text\n\0", b"text"),
        (b"text\r", b"text\r"),
        (b"text\n\n", b"text\n"),
        (b"a\nb\n", b"a\nb"),
        (b"\n", b""),
        (b"", b""),
    ],
)
def test_theMessageOfADatagram(datagram: bytes, message: bytes) -> None:
    assert messageOf(datagram) == message


def sender(port: Any, kind: str) -> socket.socket:
    if kind == "udp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port.getHost().port))
    else:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.connect(port.getHost().name)
    return sock


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
def test_eachIsOneLine(kind: str, loop: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """In order, with the end of the file's lines escaped; empty and over-long ones are dropped, and counted."""
    path = tmp_path / "lines"
    output = LineFile(str(path), reactor=loop)
    writes = list[int]()
    write = output.write

    def counted(lines: list[bytes]) -> None:
        writes.append(len(lines))
        write(lines)

    output.write = counted  # type: ignore[method-assign]
    collection = Collection(output, unexpected)
    place = datagramPlace("udp:0" if kind == "udp" else f"unixgram:{tmp_path}/log")
    assert place is not None
    port = listenForDatagrams(loop, place, collection, 100)
    with sender(port, kind) as peer:
        for datagram in (b"one", b"two\n", b"a\nb\n\0", b"", b"x" * 101, b"\n", b"y" * 100, b"5 <1>\nz"):
            peer.send(datagram)
        turnUntil(loop, lambda: port.protocol.receivedCount == 8)
        turnUntil(loop, lambda: sum(writes) == 5)
        assert len(writes) < 5, "those of a turn are one write"
        peer.send(b"last")
        port.protocol.takeLast()
    port.stopListening()
    turnUntil(loop, lambda: not port.connected)
    output.close()
    assert path.read_bytes() == b"one\ntwo\na#012b\n" + b"y" * 100 + b"\n5 <1>#012z\nlast\n"
    counters = collection.counters()
    assert counters == collection.counters(), "asking changes nothing, and a closed port still counts"
    assert (counters["keptLines"], counters["droppedEmpty"], counters["droppedOverlong"]) == (6, 2, 1)
    assert (counters["datagrams"], counters["droppedByKernel"]) == (9, 0)
    assert counters["datagramBytes"] == 3 + 4 + 5 + 0 + 101 + 1 + 100 + 7 + 4
    (record,) = caplog.records
    assert record.getMessage().endswith(" sent a datagram of more than 100 bytes, dropped")
    assert loop.getDelayedCalls() == []


def test_theSenderOfEach(ours: Any, tmp_path: pathlib.Path) -> None:
    """A datagram of each sender has its own address in the prefix, and in JSON."""
    for form in ("text", "json"):
        path = tmp_path / form
        output = LineFile(str(path), reactor=ours)
        made = prefixed(lambda: 0.0) if form == "text" else asJSON(lambda: 0.0)
        collection = Collection(output, unexpected, made, listener="syslog")
        port = listenForDatagrams(ours, DatagramPlace("udp", {"port": 0, "interface": "127.0.0.1"}), collection, 100)
        with sender(port, "udp") as one, sender(port, "udp") as two:
            for peer, text in ((one, b"a"), (two, b"b"), (one, b"\xff")):
                peer.send(text)
            names = [f"127.0.0.1:{peer.getsockname()[1]}" for peer in (one, two, one)]
            turnUntil(ours, lambda port=port: port.protocol.receivedCount == 3)
        port.protocol.flush()
        port.stopListening()
        turnUntil(ours, lambda port=port: not port.connected)
        output.close()
        lines = path.read_bytes().splitlines()
        if form == "text":
            texts = zip(names, (b"a", b"b", b"\xff"), strict=True)
            assert lines == [f"1970-01-01T00:00:00.000000Z {name} ".encode() + text for name, text in texts]
        else:
            assert [json.loads(line)["peer"] for line in lines] == names
            assert {json.loads(line)["listener"] for line in lines} == {"syslog"}


def test_aStalledOutput(ours: Any, tmp_path: pathlib.Path) -> None:
    """The socket is not read meanwhile: senders on a UNIX socket wait, and nothing is lost."""

    class Stalling(Output):
        stalls = True
        kept: Any = None

        @property
        def waits(self) -> bool:
            return self.stalls

        def write(self, lines: list[bytes]) -> None:
            got.extend(lines)

    got = list[bytes]()
    output = Stalling("x", Framing())
    collection = Collection(output, unexpected)
    port = listenForDatagrams(ours, DatagramPlace("unixgram", {"address": f"{tmp_path}/log"}), collection, 100)
    with sender(port, "unixgram") as peer:
        peer.setblocking(False)
        peer.send(b"0")
        turnUntil(ours, lambda: got)
        sent = 1
        try:
            while sent < 100_000:
                peer.send(b"%d" % sent)
                sent += 1
                ours.iterate(0)
        except BlockingIOError:
            pass
        assert 1 < sent < 100_000
        assert got == [b"0"]
        port.protocol.takeLast()
        assert got == [b"0"], "a stalled output takes no last ones either"
        output.stalls = False
        output.taken()
        turnUntil(ours, lambda: len(got) == sent)
    assert got == [b"%d" % number for number in range(sent)]
    port.stopListening()
    turnUntil(ours, lambda: not port.connected)


def test_refusals(ours: Any, tmp_path: pathlib.Path) -> None:
    collection = Collection(LineFile(os.devnull), unexpected)
    for place in (
        DatagramPlace("udp", {"port": 0, "interface": "192.0.2.1"}),
        DatagramPlace("unixgram", {"address": f"{tmp_path}/none/log"}),
    ):
        with pytest.raises(CannotListenError):
            listenForDatagrams(ours, place, collection, 100)
    collection.output.close()
