"""Certificates change under load, to good ones and to bad.

No handshake fails, no connection is cut off, and files that do not hold together change nothing.
"""

from __future__ import annotations

import functools
import itertools
import logging
import operator
import pathlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from reactor import CertificateOptions, ServerNameOptions
from reactor.tlsoptions import RELOAD_INTERVAL
from tests.battery.sizes import size
from tests.support.tlsworlds import CA, HOST, TRUST
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, World

CLIENTS = 3
STANDING = 20


@functools.cache
def issued() -> list[trustme.LeafCert]:
    return [CA.issue_cert(HOST) for _ in range(8)]


def derOf(certificate: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


class Load:
    """Clients in threads, each of which connects again and again, and some connections that stand all the while."""

    def __init__(self, port: int, names: list[str]) -> None:
        self.shown: list[bytes] = []
        self.visits = [0] * CLIENTS
        self.failures: list[BaseException] = []
        self._address = LOOPBACK, port
        self._names = names
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(cadata=TRUST.decode())
        self._context.check_hostname = False  # the names here are for SNI
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._stand))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()

    def isOver(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _connect(self, name: str) -> ssl.SSLSocket:
        sock = socket.create_connection(self._address, DEADLINE)
        return self._context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)

    @staticmethod
    def _ask(tls: ssl.SSLSocket, words: bytes) -> None:
        tls.sendall(words)
        heard = b""
        while len(heard) < len(words):
            heard += tls.recv(100)
        assert heard == words

    def _visit(self, number: int) -> None:
        for turn in itertools.count(number):
            if self._over.is_set():
                return
            try:
                with self._connect(self._names[turn % len(self._names)]) as tls:
                    self._ask(tls, b"%d" % turn)
                    shown = tls.getpeercert(True)
                    assert shown is not None
                    self.shown.append(shown)
                    tls.unwrap().close()
                self.visits[number] += 1
            except Exception as error:
                self.failures.append(error)

    def _stand(self) -> None:
        try:
            standing = [self._connect(self._names[0]) for _ in range(STANDING)]
            while not self._over.is_set():
                for number, tls in enumerate(standing):
                    self._ask(tls, b"still here, %d" % number)
            for tls in standing:
                tls.unwrap().close()
        except Exception as error:
            self.failures.append(error)


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class Files:
    """A certificate and its key, and what can happen to them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.next = 0
        self.renew()

    def renew(self) -> None:
        """Both, one after the other, with a moment in between in which they do not belong together."""
        self.good = issued()[self.next % len(issued())]
        self.next += 1
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in self.good.cert_chain_pems))
        self.key.write_bytes(self.good.private_key_pem.bytes())

    def breakPEM(self) -> None:
        self.certificate.write_bytes(self.certificate.read_bytes()[:200])

    def mismatch(self) -> None:
        other = issued()[(self.next + 3) % len(issued())]
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in other.cert_chain_pems))

    def lose(self) -> None:
        self.key.unlink()

    def empty(self) -> None:
        self.key.write_bytes(b"")


def serve(world: World, options: Any, names: list[str], script: Callable[[Load], Iterator[object]]) -> Load:
    """Run the script under load: it yields conditions, each of which comes true before it goes on."""
    servers = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
    port = world.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
    load = Load(port.getHost().port, names)
    load.start()
    try:
        for condition in script(load):
            assert callable(condition)
            world.until(condition)
    finally:
        load.stop()
        world.until(load.isOver)
    world.until(lambda: all(server.lost for server in servers.built))
    assert load.failures == []
    assert {server.trace[-1] for server in servers.built} == {("lost", "ConnectionDone")}
    assert len(servers.built) == len(load.shown) + STANDING
    return load


def more(load: Load, count: int) -> Callable[[], bool]:
    """The condition that each client has come so many times more; the first time may have begun before now."""
    enough = [visits + count for visits in load.visits]
    return lambda: all(map(operator.ge, load.visits, enough)) or bool(load.failures)


@pytest.mark.parametrize("harm", ["breakPEM", "mismatch", "lose", "empty"])
def test_files(world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, harm: str) -> None:
    """New files, good and bad in turn. Time flies, so that each client's coming is a look at the files."""
    files, now = Files(tmp_path), [0.0]

    def later() -> float:
        now[0] += RELOAD_INTERVAL
        return now[0]

    options = CertificateOptions(files.certificate, files.key, seconds=later)
    seen: list[bytes] = []

    def script(load: Load) -> Iterator[object]:
        yield more(load, 3)
        for _ in range(size(5, 50)):
            kept = derOf(files.good)
            getattr(files, harm)()
            yield more(load, 2)  # who was under way is through
            begin = len(load.shown)
            yield more(load, 3)
            assert set(load.shown[begin:]) == {kept}, "what was there before is kept"
            files.renew()
            yield more(load, 2)
            begin = len(load.shown)
            yield more(load, 3)
            assert set(load.shown[begin:]) == {derOf(files.good)}
            seen.append(derOf(files.good))

    serve(world, options, [HOST], script)
    assert len(set(seen)) >= 5
    assert all(record.levelno == logging.WARNING for record in caplog.records if record.name == "reactor.tls")


@pytest.mark.timing
def test_inRealTime(tmp_path: pathlib.Path) -> None:
    """Without a word to anybody, new clients get a new certificate as soon as RELOAD_INTERVAL says."""
    world, files = World(), Files(tmp_path)
    took: list[float] = []

    def script(load: Load) -> Iterator[object]:
        for _ in range(3):
            files.breakPEM()
            yield more(load, 5)
            files.renew()
            begin = time.monotonic()
            new = derOf(files.good)
            yield lambda wanted=new: load.shown and load.shown[-1] == wanted
            took.append(time.monotonic() - begin)

    serve(world, CertificateOptions(files.certificate, files.key), [HOST], script)
    world.close()
    assert min(took) <= RELOAD_INTERVAL + 0.1
    assert max(took) <= RELOAD_INTERVAL + 2


def test_names(world: World, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """SNI chooses; where the choice raises, or what it chooses has no good files, the default serves."""
    default, good = issued()[6], issued()[7]
    special = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    good.configure_cert(special)

    class Broken:
        def getContext(self) -> ssl.SSLContext:
            raise OSError("no such certificate")

    def choose(name: str) -> Any:
        if name == "raises.test":
            raise LookupError(name)
        return {"good.test": special, "broken.test": Broken()}.get(name)

    default.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "default.pem"))
    options = ServerNameOptions(CertificateOptions(tmp_path / "default.pem"), choose)
    names = ["good.test", "raises.test", "broken.test", "unknown.test"]
    load = serve(world, options, names, lambda load: iter([more(load, size(40, 400))]))
    assert set(load.shown) == {derOf(default), derOf(good)}
    share = load.shown.count(derOf(good)) / len(load.shown)
    assert 0.1 < share < 0.4
    raised = {type(record.exc_info[1]) for record in caplog.records if record.exc_info}
    assert raised == {LookupError, OSError}
