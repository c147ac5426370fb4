"""The chat application: who hears what, and what nobody hears."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from reactor.error import ConnectionDone, ConnectionUnwanted, IdleTimeout, OutputLimitExceeded
from reactor.failure import Failure
from reactor.loops.epoll import EpollReactor
from reactor.serving import chat, chatnames
from reactor.serving.chat import HELP, MAX_NAME, Member, Room
from reactor.task import Clock
from tests.support.worlds import LOOPBACK, dial, turnUntil

TURN = 1e-6


class Turns(Clock):
    """A clock of which advance(TURN) is one turn of a loop: what is called for meanwhile waits for the next."""

    def callLater(self, delay: float, *call: Any, **keywords: Any) -> Any:
        return super().callLater(max(delay, TURN), *call, **keywords)


class Wire:
    """A transport that keeps what was written."""

    def __init__(self, reactor: Clock) -> None:
        self.written = b""
        self.disconnecting = False
        self.limit = 0
        self.unsent = 0
        self.isPaused = False
        self.reactor = reactor

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        self.disconnecting = True

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def setOutputLimits(self, *, outputLimit: int) -> None:
        self.limit = outputLimit

    def getPeer(self) -> str:
        return "peer"


class Client:
    """A connection to a room. The turns that what it says takes are over when says() returns."""

    def __init__(self, room: Room) -> None:
        if room.reactor is None:
            room.reactor = Turns()
        self.clock: Clock = room.reactor
        self.wire = Wire(self.clock)
        member = room.buildProtocol(None)
        assert member is not None
        self.member: Member = member
        self.member.makeConnection(self.wire)

    def says(self, *lines: str | bytes) -> None:
        for line in lines:
            self.member.dataReceived((line.encode() if isinstance(line, str) else line) + b"\n")
            self.clock.advance(TURN)

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
    room.reactor.advance(chat.WINDOW)
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
    member: Any = type("Member", (Member,), {"delimiter": b"\0"})
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
    """Members count, not who has no name yet; a name that comes when the room has become full is too late."""
    monkeypatch.setattr(chat, "MAX_MEMBERS", 2)
    late, first, second = Client(room), Client(room), Client(room)
    late.heard()
    first.says("ann")
    second.says("bob")
    late.says("cid")
    third = Client(room)
    for client, heard in ((late, ["* the room is full"]), (third, ["* the room is full"])):
        assert client.heard() == heard
        assert client.wire.disconnecting
        client.leaves()
    second.leaves()
    fourth = Client(room)
    fourth.says("dan")
    assert fourth.heard()[-1].startswith("* welcome, dan; here: ann")


def test_aNameMustCome(room: Room) -> None:
    """In NAME_TIMEOUT, whatever else is said meanwhile; a member with a name may be silent."""
    (ann,) = joined(room, "ann")
    silent, wrong = Client(room), Client(room)
    wrong.says("*", "*")
    room.reactor.advance(chat.NAME_TIMEOUT - 1)
    latest = Client(room)
    assert not silent.wire.disconnecting
    assert not wrong.wire.disconnecting
    room.reactor.advance(1)
    assert silent.heard()[-1] == wrong.heard()[-1] == "* no name has come"
    assert silent.wire.disconnecting
    assert wrong.wire.disconnecting
    assert not ann.wire.disconnecting
    assert not latest.wire.disconnecting
    latest.leaves()
    room.reactor.advance(1)
    assert room.reactor.getDelayedCalls() == []


def test_whoHasNoNameKeepsNobodyOut(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than MAX_NAMELESS the first goes: every newcomer is asked for a name."""
    monkeypatch.setattr(chat, "MAX_NAMELESS", 3)
    clients = [Client(room) for _ in range(3)]
    clients[0].says("ann")
    clients += [Client(room) for _ in range(5)]
    assert [client.wire.disconnecting for client in clients] == [False, *[True] * 4, *[False] * 3]
    assert clients[1].heard() == ["* your name, please", "* others wait to say their names"]
    clients[1].says("too late")
    clients[-1].says("bob")
    assert clients[-1].heard()[-1].startswith("* welcome, bob; here: ann;")


@pytest.mark.parametrize(
    ("taken", "same"),
    [
        ("alice", "alice\u3164"),
        ("alice", "\u1160alice"),
        ("alice", "al\uffa0ice"),
        ("alice", "\u115falice"),
        ("alice", "\u0430lice"),
        ("alice", "\uff41lice"),
        ("Alice", "\U0001d41alice"),
        ("ace", "\u0430\u0441\u0435"),
        ("BOB", "\u0412\u041e\u0412"),
        ("\u0430\u0441\u0435", "ace"),
        ("\u03bf\u03c1\u03b1", "opa"),
        ("stra\u00dfe", "STRASSE"),
        ("a1", "a\u0661"),
        ("caf\u00e9", "cafe\u0301"),
    ],
)
def test_namesThatLookAlike(room: Room, taken: str, same: str) -> None:
    """Nobody takes the name of another in other letters; each alone may be a name, if it is one."""
    (holder,) = joined(room, taken)
    other = Client(room)
    other.heard()
    other.says(same, "a line")
    assert len(other.heard()) == 2
    assert holder.heard() == []
    holder.leaves()
    other.says(taken)
    assert other.heard()[-1].startswith(f"* welcome, {taken}; ")


@pytest.mark.parametrize("name", ["Иван", "Ἀθηνᾶ", "山田たろう", "김철수Kim", "josé-1_x.y", "محمد", "ﬁn"])
def test_namesOfTheWorld(room: Room, name: str) -> None:
    client = Client(room)
    client.says(name)
    assert client.heard()[-1].startswith(f"* welcome, {chatnames.normalized(name)}; ")


@pytest.mark.parametrize("name", ["\u3164", "\u115f\u1160", "Ивan", "a\u0431c", "\u03b1b\u0441", "漢\u0430"])
def test_lettersThatMakeNoName(room: Room, name: str) -> None:
    client = Client(room)
    client.says(name)
    assert client.heard()[-1].startswith("* a name has letters")


def test_aBurstIsSaidOverManyTurns(room: Room) -> None:
    """In order, and whole; a turn writes so much and no more, and others say their lines in between."""
    readers = joined(room, *(f"r{number}" for number in range(40)))
    (loud,) = joined(room, "loud")
    readers[0].heard()
    lines = [b"%d" % number for number in range(1000)]
    loud.member.dataReceived(b"\n".join([*lines, b""]))
    assert loud.wire.isPaused
    heard: list[str] = []
    calm = readers[1]
    most = turns = 0
    while len(heard) < 1010:
        now = readers[0].heard()
        most = max(most, len(now))
        heard += now
        if turns < 10:
            calm.says("calm")
        else:
            room.reactor.advance(TURN)
        turns += 1
        assert turns < 300
    said = [line for line in heard if line != "r1: calm"]
    assert said == [f"loud: {number}" for number in range(1000)]
    assert len(heard) - len(said) == 10
    assert heard[60:].count("r1: calm") < 10, "nobody else got a word in"
    assert most <= chat.TURN_WRITES // 40 + 2
    assert not loud.wire.isPaused
    calm.says("after")
    assert loud.heard()[-1] == "r1: after"


def test_aTurnIsBoundedInBytes(room: Room) -> None:
    """Long lines, and lines of which the answer is long."""
    ann, bob = joined(room, "ann", "bob")
    ann.member.dataReceived((b"x" * 16_000 + b"\n") * 30)
    bob.member.dataReceived((b"/who " + b"x" * 9000 + b"\n") * 30)
    sizes = {"ann": 0, "bob": 0}
    for _ in range(40):
        for client, name in ((ann, "ann"), (bob, "bob")):
            size = len(client.wire.written)
            assert size <= chat.TURN_BYTES + 16_100
            sizes[name] += size
            client.heard()
        room.reactor.advance(TURN)
    assert sizes == {"ann": 0, "bob": 30 * (16_000 + len("ann: \n") + len("* here: ann, bob\n"))}


@pytest.mark.parametrize("reads", [True, False])
def test_aBurstWaitsForThoseWhoRead(room: Room, reads: bool) -> None:
    """The room writes no faster to a member that reads, and waits but a second for one that takes nothing."""
    ann, slow = joined(room, "ann", "slow")
    slow.wire.unsent = chat.LAG + 1
    ann.member.dataReceived(b"x\n" * 100)
    heard = slow.heard()
    assert len(heard) == chat.FREE_LINES, "the first lines wait for nobody"
    room.reactor.pump([0.01] * 50)
    assert slow.heard() == []
    if reads:
        slow.wire.unsent = chat.LAG
        room.reactor.advance(0.01)
    else:
        room.reactor.pump([0.01] * 60)
    room.reactor.pump([TURN] * 5)
    assert len(slow.heard()) == 80


def test_whatWasQueuedGoesWithItsMember(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    ann.member.dataReceived(b"x\n" * 100)
    assert bob.heard() == ["ann: x"] * chat.FREE_LINES
    ann.leaves()
    room.reactor.pump([TURN] * 5)
    assert bob.heard() == ["* ann has left"]
    room.reactor.advance(1)
    assert room.reactor.getDelayedCalls() == []


def test_manyLeaveAtOnce(room: Room) -> None:
    """The others hear of each, over some turns."""
    clients = joined(room, *(f"m{number}" for number in range(300)))
    for client in clients:
        client.heard()
    for client in clients[100:]:
        client.leaves()
    first = clients[0].heard()
    assert len(first) <= chat.TURN_WRITES // 100 + 1
    for _ in range(100):
        room.reactor.advance(TURN)
    assert [*first, *clients[0].heard()] == [f"* m{number} has left" for number in range(100, 300)]


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


def test_refusalsTellTheirReason(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """closeCounts has the reasons: the closes are not the peer's."""
    with closing(EpollReactor()) as loop:
        port = loop.listenTCP(0, room, interface=LOOPBACK)
        monkeypatch.setattr(chat, "NAME_TIMEOUT", 0.001)
        with closing(dial(port)):
            turnUntil(loop, lambda: loop.closeCounts[IdleTimeout] == 1)
        monkeypatch.setattr(chat, "MAX_MEMBERS", 0)
        with closing(dial(port)):
            turnUntil(loop, lambda: loop.closeCounts[ConnectionUnwanted] == 1)
        port.stopListening()
        turnUntil(loop, lambda: not loop.openTransports())
