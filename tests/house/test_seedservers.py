"""The example servers of well-known protocols, each driven by a public client of its protocol, and by hostile bytes."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from pymemcache.client.base import Client as CacheClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

from examples.cacheserver import LARGEST_VALUE, MEMORY, OVERHEAD, Cache, Item
from tests.house.test_examples import DEADLINE, Peer, Program, Stage


@pytest.fixture
def left() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stage(tmp_path: pathlib.Path, left: ExitStack) -> Stage:
    return Stage("reactor", tmp_path, left)


def answersTo(port: int, sent: bytes, step: int = 0) -> bytes:
    """All that answers `sent`, in pieces of `step` bytes, and then the end of this side."""
    with closing(Peer(port)) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), step or len(sent)):
            peer.socket.sendall(sent[at : at + (step or len(sent))])
        peer.socket.shutdown(socket.SHUT_WR)
        return peer.file.read()


def stopped(server: Program) -> None:
    """The server has printed nothing: no handler has failed."""
    assert server.stop() == (0, [])


def test_cacheServer(stage: Stage, left: ExitStack) -> None:
    server = stage.run("cacheserver")
    client = CacheClient(("127.0.0.1", server.port()), timeout=DEADLINE, default_noreply=False)
    left.callback(client.close)
    assert client.version() == b"1.0"
    assert [client.set("a", b"1\r\n2", flags=7), client.get("a"), client.get("b")] == [True, b"1\r\n2", None]
    assert [client.add("a", b"x"), client.add("b", b"5"), client.replace("c", b"x")] == [False, True, False]
    assert [client.append("b", b"0"), client.prepend("b", b"1"), client.get("b")] == [True, True, b"150"]
    assert [client.incr("b", 5), client.decr("b", 200), client.incr("c", 1)] == [155, 0, None]
    value, unique = client.gets("b")
    assert [value, client.cas("b", b"new", unique), client.cas("b", b"x", unique)] == [b"0", True, False]
    assert client.cas("c", b"x", b"1") is None
    assert client.get_many(["a", "b", "c"]) == {"a": b"1\r\n2", "b": b"new"}
    assert [client.touch("a", 100), client.touch("c", 1), client.touch("b", -1), client.get("b")] == [
        True,
        False,
        True,
        None,
    ]
    assert [client.set("b", b"x", expire=-1), client.get("b")] == [True, None]
    assert [client.set("n", b"x", noreply=True), client.incr("a", 1, noreply=True), client.get("n")] == [
        True,
        None,
        b"x",
    ]
    with pytest.raises(MemcacheServerError):
        client.set("n", b"\r\nquit\r\n" * (LARGEST_VALUE // 8 + 1))
    assert client.get("n") is None  # the old value would be wrong
    with pytest.raises(MemcacheClientError):
        client.incr("a", 1)
    assert [client.delete("a"), client.delete("a"), client.stats()[b"curr_items"]] == [True, False, 0]
    client.set_many({f"k{n}": bytes(LARGEST_VALUE) for n in range(70)}, noreply=True)
    stats = client.stats()
    assert (stats[b"curr_items"], stats[b"evictions"]) == (63, 7)
    assert MEMORY - LARGEST_VALUE < stats[b"bytes"] <= MEMORY
    assert [client.get("k6"), len(client.get("k7") or b"")] == [None, LARGEST_VALUE]
    assert [client.flush_all(), client.get("k69")] == [True, None]
    client.quit()
    stopped(server)


def test_cacheServerHostile(stage: Stage) -> None:
    server = stage.run("cacheserver")
    port = server.port()
    sent = b"set a 0 0 2\r\n\r\n\r\nget a\r\nset a 0 0 2 noreply\r\nme\r\nnonsense\r\nget a b a\r\nget\r\n\r\n"
    value = b"VALUE a 0 2\r\nme\r\n"
    wanted = b"STORED\r\nVALUE a 0 2\r\n\r\n\r\nEND\r\nERROR\r\n" + 2 * value + b"END\r\nERROR\r\nERROR\r\n"
    assert answersTo(port, sent) == answersTo(port, sent, 1) == wanted
    assert answersTo(port, b"get " + b"x" * 251 + b"\r\nget a\r\n") == b"CLIENT_ERROR bad key\r\n" + value + b"END\r\n"
    assert answersTo(port, b"x" * 9000) == b"CLIENT_ERROR line too long\r\n"
    assert answersTo(port, b"set a 0 0 -1\r\nget a\r\n") == b"CLIENT_ERROR bad command line format\r\n"
    assert answersTo(port, b"set a 0 0 1\r\nlong\r\nget a\r\n") == b"CLIENT_ERROR bad data chunk\r\n"
    assert answersTo(port, b"set a 0 x 2\r\nme\r\nincr a 1 2\r\nincr a -1\r\nquit\r\nget a\r\n") == (
        b"CLIENT_ERROR invalid numeric argument\r\nERROR\r\nCLIENT_ERROR invalid numeric argument\r\n"
    )
    assert answersTo(port, b"set a 0 0 20\r\n18446744073709551615\r\nincr a 2\r\n") == b"STORED\r\n1\r\n"
    # Each answer is much more than the system's buffers hold, and all arrive, in spite of the end of this side.
    big = b"set big 0 0 1000000\r\n%b\r\n" % bytes(1000000)
    answer = answersTo(port, big + b"get" + b" big" * 20 + b"\r\nget big\r\nquit\r\n")
    assert answer.count(b"VALUE big 0 1000000\r\n") == 21
    assert answer.endswith(b"END\r\n")
    stopped(server)


def test_cacheIsBounded() -> None:
    cache = Cache()
    most = MEMORY // (OVERHEAD + 9)
    for number in range(most + 3):
        cache.put(b"%08d" % number, Item(b"x", b"0", None))
        cache.get(b"%08d" % 0)
    assert (len(cache.items), cache.evictions) == (most, 3)
    assert cache.get(b"%08d" % 1) is None
    assert cache.get(b"%08d" % 0) is not None
