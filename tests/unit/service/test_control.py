"""The control channel: messages, descriptors, and a peer that does neither."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.service.control import MOST_WAITING, Channel, formatSockets, openChannel, parseSockets
from tests.support.worlds import World


class Ends:
    """A channel on a reactor, and a plain socket as its peer."""

    def __init__(self) -> None:
        self.world = World()
        self.heard: list[Any] = []
        self.lost = 0
        ours, self.peer = socket.socketpair()
        with ours:
            self.channel: Channel = openChannel(self.world.reactor, ours.fileno(), self.heard.append, self._lost)
        self.peer.settimeout(10)

    def _lost(self) -> None:
        self.lost += 1

    def close(self) -> None:
        self.peer.close()
        self.world.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_messagesAreLines(ends: Ends) -> None:
    ends.peer.sendall(b'{"event":"rea')
    ends.world.until(lambda: True)
    ends.peer.sendall(b'dy","pid":7}\n{"event":"beat"}\n')
    ends.world.until(lambda: len(ends.heard) == 2)
    assert ends.heard == [{"event": "ready", "pid": 7}, {"event": "beat"}]
    assert ends.channel.send({"order": "drain", "grace": 1.5, "text": "a\nb"})
    ends.world.until(lambda: ends.channel.transport.unsent == 0)
    line = ends.peer.recv(1000)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"order": "drain", "grace": 1.5, "text": "a\nb"}


@pytest.mark.parametrize("line", [b"", b"hello", b"[1, 2]", b"\xff", b'"text"'])
def test_otherLinesAreDropped(ends: Ends, line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ends.peer.sendall(line + b'\n{"event":"beat"}\n')
    ends.world.until(lambda: ends.heard)
    assert ends.heard == [{"event": "beat"}]
    assert "is no message" in caplog.text


def test_aDescriptorTravelsWithItsMessage(ends: Ends) -> None:
    with socket.socket() as passed, socket.socket() as second:
        ends.channel.send({"order": "take", "name": "a"}, passed.fileno())
        ends.channel.send({"order": "take", "name": "b"}, second.fileno())
        ends.world.until(lambda: ends.channel.transport.unsent == 0)
        received = array.array("i")
        data = b""
        while data.count(b"\n") < 2:
            chunk, messages, _flags, _address = ends.peer.recvmsg(1000, socket.CMSG_SPACE(4))
            data += chunk
            for _level, _kind, content in messages:
                received.frombytes(content)
        assert [os.fstat(fd).st_ino for fd in received] == [os.fstat(each.fileno()).st_ino for each in (passed, second)]
        for fd in received:
            os.close(fd)


def test_descriptorsThatNobodyTakesAreClosed(ends: Ends) -> None:
    with socket.socket() as passed:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()]))
        ends.peer.sendmsg([b'{"order":"take"}\n'], [rights])
    ends.world.until(lambda: ends.heard)
    assert len(ends.channel.descriptors) == 1
    ends.peer.close()
    ends.world.until(lambda: ends.lost)
    assert not ends.channel.descriptors


def test_reportsAreLeftOutForAPeerThatDoesNotRead(ends: Ends) -> None:
    report = {"event": "status", "status": "x" * 10_000}
    for _ in range(200):
        ends.channel.report(report)
        ends.world.reactor.iterate(0)
    assert MOST_WAITING <= ends.channel.transport.unsent < MOST_WAITING + 20_000
    assert not ends.channel.report(report)
    assert ends.channel.isOpen  # orders still get through, once it reads
    assert ends.channel.send({"order": "now"})


def test_theLastWordsOfAPeerCount(ends: Ends) -> None:
    ends.peer.sendall(b'{"event":"failed"}\n' * 2_000)
    ends.peer.close()
    ends.channel.readRest()
    assert len(ends.heard) == 2_000
    assert ends.lost in (0, 1)
    ends.world.until(lambda: ends.lost == 1)
    assert not ends.channel.send({"order": "now"})
    assert not ends.channel.report({"event": "status"})


def test_aPeerThatEndsByAnErrorIsNoNews(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    """A process that ends without reading its last orders resets the channel. The record of its end says enough."""
    caplog.set_level("INFO")
    assert ends.channel.send({"order": "now"})
    ends.world.until(lambda: ends.channel.transport.unsent == 0)
    ends.peer.close()
    ends.world.until(lambda: ends.lost == 1)
    assert caplog.records == []


def test_socketsAsText() -> None:
    numbers = {"tcp:7000": [7, 9], "a,b=c d%": [11], "é": [12]}
    text = formatSockets(numbers)
    assert text.startswith("tcp:7000=7,tcp:7000=9,")
    assert parseSockets(text) == numbers
    assert parseSockets("") == {}


@pytest.mark.parametrize("text", ["7", "a=", "a=b", "a=-1", "a=1;b=2"])
def test_wrongSocketsAsText(text: str) -> None:
    with pytest.raises(ValueError, match="has the form name=descriptor,name=descriptor"):
        parseSockets(text)
