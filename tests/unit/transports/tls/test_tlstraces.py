"""Callbacks of protocols over TLS, on ours and on Twisted's with pyOpenSSL: the same, but for those listed here."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest
import twisted.internet.ssl
import twisted.protocols.tls

from tests.support.tlsworlds import HOST, TRUST, TLSWorld, certificatePath
from tests.support.worlds import DEADLINE, TWISTED, World


class TwistedsTLS(World):
    """TLS on Twisted's side: its factories take contexts of pyOpenSSL."""

    def __init__(self) -> None:
        super().__init__(TWISTED)

    def listen(self, factory: Any) -> Any:
        certificate = twisted.internet.ssl.PrivateCertificate.loadPEM(pathlib.Path(certificatePath()).read_bytes())
        return self.reactor.listenSSL(0, factory, certificate.options(), interface=self.host)

    def connect(self, port: Any, factory: Any) -> Any:
        root = twisted.internet.ssl.Certificate.loadPEM(TRUST)
        options = twisted.internet.ssl.optionsForClientTLS(HOST, trustRoot=root)
        return self.reactor.connectSSL(self.host, port.getHost().port, factory, options)


def lose(protocol: Any, *_: object) -> None:
    protocol.transport.loseConnection()


def abort(protocol: Any, *_: object) -> None:
    protocol.transport.abortConnection()


def fail(protocol: Any, *_: object) -> None:
    raise ValueError("the protocol's own")


def say(protocol: Any, *_: object) -> None:
    protocol.transport.write(b"hello")


def sayAndLose(protocol: Any, *_: object) -> None:
    say(protocol)
    lose(protocol)


def sayMuchAndLose(protocol: Any, *_: object) -> None:
    protocol.transport.write(b"x" * 3_000_000)
    lose(protocol)


def sayAndEnd(protocol: Any, *_: object) -> None:
    say(protocol)
    protocol.transport.loseWriteConnection()


def echo(protocol: Any, data: bytes) -> None:
    protocol.transport.write(data)


def trace(
    monkeypatch: pytest.MonkeyPatch, world: World, server: dict[str, Any], client: dict[str, Any], halves: bool = False
) -> tuple[list[Any], list[Any]]:
    """Return the callbacks of the two protocols, the server's first."""
    # Twisted's TLS gathers small writes by the clock of the process's reactor, unless it gets another.
    monkeypatch.setattr(twisted.protocols.tls, "_get_default_clock", lambda: world.reactor)
    servers, clients = world.serverFactory(server, halves), world.clientFactory(client, halves)
    world.connect(world.listen(servers), clients)

    def isOver(factory: Any) -> bool:
        return bool(factory.built) and factory.built[0].lost is not None

    end = time.monotonic() + DEADLINE
    while not (isOver(clients) and (isOver(servers) or not servers.built)):
        assert time.monotonic() < end
        world.reactor.iterate(0.01)
    world.close()
    return (servers.built[0].trace if servers.built else []), clients.built[0].trace


SAME: dict[str, tuple[dict[str, Callable[..., None]], dict[str, Callable[..., None]]]] = {
    "the server closes": ({"data": lose}, {"made": say}),
    "the client closes": ({"data": echo}, {"made": say, "data": lose}),
    "words and the end": ({"made": sayAndLose}, {}),
    "many words and the end": ({"made": sayMuchAndLose}, {}),
    "both close": ({"data": lose}, {"made": sayAndLose}),
    "both speak": ({"made": say}, {"made": say, "data": lose}),
}

DONE, LOST, ABORTED = [("lost", f"Connection{how}") for how in ("Done", "Lost", "Aborted")]

# The actions; the callbacks of ours, server and client; those of Twisted's.
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Any, Any], tuple[Any, Any]]] = {
    "the server aborts": (
        {"data": abort},
        {"made": say},
        (["made", "data", ABORTED], ["made", LOST]),
        (["made", "data", LOST], ["made", LOST]),
    ),
    "the client aborts": (
        {"data": echo},
        {"made": say, "data": abort},
        (["made", "data", LOST], ["made", "data", ABORTED]),
        (["made", "data", LOST], ["made", "data", LOST]),
    ),
    "a protocol raises": (
        {"data": fail},
        {"made": say},
        (["made", "data", ("lost", "ValueError")], ["made", LOST]),
        (["made", "data", LOST], ["made", LOST]),
    ),
    # There, it comes before the handshake.
    "the server closes in connectionMade": (
        {"made": lose},
        {},
        (["made", DONE], ["made", DONE]),
        (["made", LOST], ["made", LOST]),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("what", SAME)
def test_same(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    ours, twisteds = (trace(monkeypatch, world, *SAME[what]) for world in (TLSWorld(), TwistedsTLS()))
    assert ours == twisteds


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("what", DIFFERENT)
def test_different(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str) -> None:
    server, client, ours, twisteds = DIFFERENT[what]
    assert trace(monkeypatch, TLSWorld(), server, client) == ours
    assert trace(monkeypatch, TwistedsTLS(), server, client) == twisteds


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocols of ours hear of halves, and may answer after the peer's last word; Twisted's TLS knows none."""
    script: tuple[Any, Any] = ({"readLost": sayAndLose}, {"made": sayAndEnd, "readLost": lose})
    ours = trace(monkeypatch, TLSWorld(), *script, halves=True)
    assert ours == (["made", "data", "readLost", DONE], ["made", "writeLost", "data", "readLost", DONE])
    twisteds = trace(monkeypatch, TwistedsTLS(), {"data": lose}, {"made": say}, halves=True)
    assert twisteds == (["made", "data", DONE], ["made", DONE])
