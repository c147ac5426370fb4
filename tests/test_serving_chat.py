"""The chat application: who hears what, and what nobody hears."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.error import ConnectionDone, OutputLimitExceeded
from reactor.failure import Failure
from reactor.serving import chat
from reactor.serving.chat import HELP, MAX_NAME, Member, Room


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.disconnecting = False
        self.limit = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        self.disconnecting = True

    def setOutputLimits(self, *, outputLimit: int) -> None:
        self.limit = outputLimit

    def getPeer(self) -> str:
        return "peer"


class Client:
    """A connection to a room."""

    def __init__(self, room: Room) -> None:
        self.wire = Wire()
        member = room.buildProtocol(None)
        assert member is not None
        self.member: Member = member
        self.member.makeConnection(self.wire)

    def says(self, *lines: str | bytes) -> None:
        for line in lines:
            self.member.dataReceived((line.encode() if isinstance(line, str) else line) + b"\n")

    def heard(self) -> list[str]:
        text, self.wire.written = self.wire.written.decode(), b""
        return text.split("\n")[:-1]

    def leaves(self, reason: Any = None) -> None:
        self.member.connectionLost(Failure(reason or ConnectionDone()))


@pytest.fixture
def room() -> Room:
    return Room()


def joined(room: Room, *names: str) -> list[Client]:
    clients = []
    for name in names:
        clients.append(Client(room))
        clients[-1].says(name)
    for client in clients:
        client.heard()
    return clients


def test_joining(room: Room) -> None:
    first = Client(room)
    assert first.heard() == ["* your name, please"]
    assert first.wire.limit == chat.MAX_BACKLOG
    first.says("ann")
    assert first.heard() == [f"* welcome, ann; here: nobody else; {HELP}"]
    second = Client(room)
    second.says(" bob ")
    assert second.heard() == ["* your name, please", f"* welcome, bob; here: ann; {HELP}"]
    assert first.heard() == ["* bob has joined"]


def test_talking(room: Room) -> None:
    """To all others, in order, and not to oneself; nothing is said for nothing."""
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    ann.says("one", "", "two")
    bob.says("three")
    assert ann.heard() == ["bob: three"]
    assert bob.heard() == ["ann: one", "ann: two"]
    assert cid.heard() == ["ann: one", "ann: two", "bob: three"]


def test_whoHasNoNameIsNotThere(room: Room) -> None:
    (ann,) = joined(room, "ann")
    stranger = Client(room)
    stranger.heard()
    ann.says("secret")
    assert stranger.heard() == []
    stranger.leaves()
    assert ann.heard() == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "a name cannot be empty"),
        (" \t ", "a name cannot be empty"),
        ("x" * (MAX_NAME + 1), "a name has at most 20 characters"),
        ("*", "a name has letters"),
        ("a: b", "a name has letters"),
        ("/quit", "a name has letters"),
        ("a b", "a name has letters"),
        ("a\x1b[31m", "a name has letters"),
        ("\u202eann", "a name has letters"),
        (b"\xff", "a name has letters"),
        ("ann", "ann is taken"),
        ("ANN", "ANN is taken"),
    ],
)
def test_namesThatAreNone(room: Room, name: str | bytes, problem: str) -> None:
    (ann,) = joined(room, "ann")
    other = Client(room)
    other.heard()
    other.says(name)
    (answer,) = other.heard()
    assert answer.startswith(f"* {problem}")
    assert answer.endswith("; another one, please")
    assert ann.heard() == []
    other.says("x" * MAX_NAME)
    assert other.heard()[0].startswith("* welcome, xxx")


def test_commands(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    ann.says("/who", "/name Ann", "/name bob", "/name", "/what", "/name zoe", "/who")
    assert ann.heard() == [
        "* here: ann, bob",
        "* ann is now Ann",
        "* bob is taken; another one, please",
        "* a name cannot be empty; another one, please",
        f"* {HELP}",
        "* Ann is now zoe",
        "* here: bob, zoe",
    ]
    assert bob.heard() == ["* ann is now Ann", "* Ann is now zoe"]
    third = Client(room)
    third.says("ann", "/quit")
    assert third.wire.disconnecting
    third.leaves()
    assert bob.heard() == ["* ann has joined", "* ann has left"]


def test_hostileTextIsCleaned(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    ann.says("a\tb", "\x1b[2J\x07", "\u202ebackwards", b"\xff\xfe", "e\r\x0bf", "é ünï 漢字 🙂")
    assert bob.heard() == [
        "ann: a b",
        "ann: �[2J�",
        "ann: �backwards",
        "ann: ��",
        "ann: e��f",
        "ann: é ünï 漢字 🙂",
    ]


def test_eachIsAnsweredWithItsOwnLineEnding(room: Room) -> None:
    (ann,) = joined(room, "ann")
    telnet = Client(room)
    telnet.says("bob\r")
    ann.says("hi")
    assert telnet.heard() == [
        "* your name, please",
        f"* welcome, bob; here: ann; {HELP}\r",
        "ann: hi\r",
    ]
    telnet.says("ho\r")
    assert ann.heard() == ["* bob has joined", "bob: ho"]


def test_anotherDelimiter(room: Room) -> None:
    """Then a CR is one more character that is not printable."""
    member = type("Member", (Member,), {"delimiter": b"\0"})
    room.protocol = member
    client = Client(room)
    client.member.dataReceived(b"ann\0/who\r\0")
    assert client.wire.written.split(b"\0")[-2] == f"* {HELP}".encode()


def test_leaving(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    bob.leaves()
    cid.leaves(OutputLimitExceeded("1 bytes"))
    assert ann.heard() == ["* bob has left", "* cid was dropped: did not read"]
    joined(room, "bob")
    assert ann.heard() == ["* bob has joined"]


def test_aFullRoom(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections count, with a name or without; who was not let in does not count when it leaves."""
    monkeypatch.setattr(chat, "MAX_MEMBERS", 2)
    first, second, third = Client(room), Client(room), Client(room)
    assert third.heard() == ["* the room is full"]
    assert third.wire.disconnecting
    third.leaves()
    assert not Client(room).wire.written.startswith(b"* your")
    second.leaves()
    assert Client(room).heard() == ["* your name, please"]
    assert not first.wire.disconnecting


def test_aLineThatIsTooLong(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Closed and logged; if skipped, logged once."""
    ann, bob = joined(room, "ann", "bob")
    ann.says("x" * 20_000)
    assert ann.wire.disconnecting
    bob.member.overlong = "skip"
    bob.says("x" * 20_000, "x" * 20_000, "short")
    assert ann.heard() == ["bob: short"]
    assert [record.getMessage() for record in caplog.records] == [
        "peer sent a line of more than 16384 bytes, connection closed",
        "peer sent a line of more than 16384 bytes, skipped",
    ]


def test_halfClose(room: Room) -> None:
    (ann,) = joined(room, "ann")
    ann.member.writeConnectionLost()
    assert not ann.wire.disconnecting
    ann.member.readConnectionLost()
    assert ann.wire.disconnecting
