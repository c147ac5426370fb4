"""Our LineReceiver inside Twisted: in its reactors, under its factories, and as the base of its own protocols."""

from __future__ import annotations

import asyncio
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.defer
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import ClientFactory, Factory

from reactor import LineOnlyReceiver, LineReceiver
from tests.support.worlds import LOOPBACK, TWISTED, runProgram, turnUntil

ASYNCIO = "asyncio"


@pytest.fixture(params=["epoll", ASYNCIO])
def theirs(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A reactor of Twisted's."""
    if request.param != ASYNCIO:
        epoll = EPollReactor()
        yield epoll
        TWISTED.close(epoll)
        return
    eventloop = asyncio.new_event_loop()
    reactor = AsyncioSelectorReactor(eventloop)
    yield reactor
    reactor.iterate(0)
    reactor.disconnectAll()
    reactor.iterate(0)
    for waker in list(reactor._internalReaders):
        reactor._internalReaders.discard(waker)
        reactor.removeReader(waker)
        waker.connectionLost(None)
    eventloop.close()


def connect(reactor: Any, server: type, client: type) -> tuple[list[Any], list[Any]]:
    """Connect two protocol classes of ours under Twisted's factories; the lists get the instances."""
    made: tuple[list[Any], list[Any]] = ([], [])
    factories = [kind.forProtocol(cls) for kind, cls in ((Factory, server), (ClientFactory, client))]
    for factory, instances in zip(factories, made, strict=True):
        factory.noisy = False

        def buildProtocol(addr: Any, build: Any = factory.buildProtocol, instances: list[Any] = instances) -> Any:
            instances.append(build(addr))
            return instances[-1]

        factory.buildProtocol = buildProtocol  # type: ignore[method-assign]
    port = reactor.listenTCP(0, factories[0], interface=LOOPBACK)
    reactor.connectTCP(LOOPBACK, port.getHost().port, factories[1])
    turnUntil(reactor, lambda: all(instances and instances[0].connected for instances in made))
    port.stopListening()
    return made


class Collect(LineReceiver):
    MAX_LENGTH = 200_000

    def connectionMade(self) -> None:
        self.lines: list[bytes] = []
        self.lost: Any = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class TestInItsReactors:
    def test_linesRawDataAndTheEnd(self, theirs: Any) -> None:
        class Server(Collect):
            def lineReceived(self, line: bytes) -> None:
                assert isinstance(self.factory, Factory)
                if line.startswith(b"raw "):
                    self.left = int(line[4:])
                    self.setRawMode()
                elif line == b"bye":
                    self.transport.loseConnection()
                else:
                    self.sendLine(line.upper())

            def rawDataReceived(self, data: bytes) -> None:
                body, rest = data[: self.left], data[self.left :]
                self.left -= len(body)
                self.transport.write(body)
                if not self.left:
                    self.sendLine(b"")
                    self.setLineMode(rest)

        (server,), (client,) = connect(theirs, Server, Collect)
        client.transport.write(b"one\r\nraw 100000\r\n" + b"x" * 100_000 + b"two\r\nbye\r\nnever\r\n")
        turnUntil(theirs, lambda: server.lost and client.lost)
        assert client.lines == [b"ONE", b"x" * 100_000, b"TWO"]

    def test_aDialogue(self, theirs: Any) -> None:
        class Server(Collect):
            def lineReceived(self, line: bytes) -> None:
                self.sendLine(line.upper())
                if line == b"bye":
                    self.transport.loseConnection()

        (server,), (client,) = connect(theirs, Server, Collect)
        client.sendLines([b"%d" % number for number in range(5000)])
        client.sendLine(b"bye")
        client.sendLine(b"never")
        turnUntil(theirs, lambda: server.lost and client.lost)
        assert client.lines == [b"%d" % number for number in range(5000)] + [b"BYE"]
        assert client.lost.check(twisted.internet.error.ConnectionDone)

    def test_pausing(self, theirs: Any) -> None:
        class Server(Collect):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                self.pauseProducing()

        (server,), (client,) = connect(theirs, Server, Collect)
        client.sendLines([b"one", b"two", b"three"])
        for expected in ([b"one"], [b"one", b"two"], [b"one", b"two", b"three"]):
            turnUntil(theirs, lambda expected=expected: server.lines == expected)
            theirs.iterate(0)
            assert server.lines == expected
            server.resumeProducing()

    @pytest.mark.parametrize("fails", [False, True])
    def test_asynchronousHandlers(self, theirs: Any, fails: bool) -> None:
        """A Deferred of Twisted's is waited for; its failure costs the connection."""
        waiting: list[Any] = []

        class Server(Collect):
            def lineReceived(self, line: bytes) -> Any:
                super().lineReceived(line)
                waiting.append(twisted.internet.defer.Deferred())
                return waiting[-1]

        (server,), (client,) = connect(theirs, Server, Collect)
        client.sendLines([b"one", b"two"])
        turnUntil(theirs, lambda: server.lines)
        assert server.lines == [b"one"]
        if fails:
            waiting[0].errback(ValueError("no"))
            turnUntil(theirs, lambda: server.lost and client.lost)
        else:
            waiting[0].callback(None)
            turnUntil(theirs, lambda: server.lines == [b"one", b"two"])
            waiting[1].callback(None)
            client.transport.loseConnection()
            turnUntil(theirs, lambda: server.lost)

    def test_lineOnly(self, theirs: Any) -> None:
        class Server(LineOnlyReceiver):
            def lineReceived(self, line: bytes) -> None:
                self.sendLine(line * 2)

        _, (client,) = connect(theirs, Server, Collect)
        client.sendLines([b"a", b"b"])
        turnUntil(theirs, lambda: client.lines == [b"aa", b"bb"])


# Twisted's own tests of its protocols, with our classes in the place of the base class that these import.
PATCHED = """
import os, sys
os.chdir(sys.argv[1])
import twisted.protocols.basic
from twisted.internet.interfaces import IProtocol
from zope.interface import classImplements
import reactor
classImplements(reactor.BaseProtocol, IProtocol)
twisted.protocols.basic.LineReceiver = reactor.LineReceiver
twisted.protocols.basic.LineOnlyReceiver = reactor.LineOnlyReceiver
{check}
from twisted.scripts.trial import run
sys.argv = ["trial", "--reporter=text", "--temp-directory=trial", *sys.argv[2:]]
run()
"""
FTP = "FTPClientBasicTests FTPClientTests FTPFileListingTests BasicFTPServerTests FTPServerPasvDataConnectionTests"
SUITES = {
    "SMTP": ("twisted.mail.smtp", "SMTP ESMTPClient", ["twisted.mail.test.test_smtp"], 50),
    "POP3": (
        "twisted.mail.pop3",
        "POP3 POP3Client",
        ["twisted.mail.test.test_pop3", "twisted.mail.test.test_pop3client"],
        150,
    ),
    "IMAP4": ("twisted.mail.imap4", "IMAP4Server IMAP4Client", ["twisted.mail.test.test_imap"], 300),
    "IRC": ("twisted.words.protocols.irc", "IRCClient", ["twisted.words.test.test_irc"], 150),
    "FTP": ("twisted.protocols.ftp", "FTP FTPClient", [f"twisted.test.test_ftp.{name}" for name in FTP.split()], 80),
    "HTTP": (
        "twisted.web.http",
        "HTTPChannel HTTPClient",
        [f"twisted.web.test.test_{name}" for name in ("web", "newclient", "proxy", "webclient", "agent")],
        400,
    ),
    "others": (
        "twisted.protocols.finger",
        "Finger",
        [f"twisted.{name}" for name in ("test.test_finger", "test.test_ident", "test.test_postfix", "test.test_sip")],
        60,
    ),
}


@pytest.mark.parametrize("name", SUITES)
def test_asTheBaseOfItsProtocols(name: str, tmp_path: pathlib.Path) -> None:
    module, classes, suites, least = SUITES[name]
    check = f"import {module} as m\n" + "".join(
        f"assert issubclass(m.{each}, (reactor.LineReceiver, reactor.LineOnlyReceiver))\n" for each in classes.split()
    )
    result = runProgram(PATCHED.format(check=check), str(tmp_path), *suites, timeout=60)
    assert "FAILED" not in result.stdout, result.stdout[-3000:]
    passed = re.search(r"^PASSED \(.*?successes=(\d+)\)", result.stdout, re.MULTILINE)
    assert passed, result.stdout[-3000:] + result.stderr[-3000:]
    assert int(passed[1]) > least
