"""The example servers of well-known protocols, each driven by a public client of its protocol, and by hostile bytes."""

from __future__ import annotations

import functools
import operator
import pathlib
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
import redis
from pymemcache.client.base import Client as CacheClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

from examples.cacheserver import LARGEST_VALUE, MEMORY, OVERHEAD, Cache, Item
from examples.nmeaingest import MOST_TYPES, Log
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


def bulk(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def test_redisLike(stage: Stage, left: ExitStack) -> None:
    server = stage.run("redislike")
    port = server.port()
    client: Any = redis.Redis("127.0.0.1", port, protocol=2, socket_timeout=DEADLINE, client_name="test")
    left.callback(client.close)
    assert [client.ping(), client.echo("a\r\nb"), client.get("a")] == [True, b"a\r\nb", None]
    assert [client.set("a", b"1\r\n2"), client.get("a"), client.set("a", "x", nx=True)] == [True, b"1\r\n2", None]
    assert [client.set("b", "x", xx=True), client.set("b", "5", nx=True), client.incr("b"), client.incrby("b", -9)] == [
        None,
        True,
        6,
        -3,
    ]
    assert [client.mset({"c": "1", "d": "2"}), client.mget("c", "no", "d")] == [True, [b"1", None, b"2"]]
    assert [client.exists("c", "no", "d"), client.delete("c", "no", "d"), client.dbsize()] == [2, 2, 2]
    assert [client.ttl("a"), client.ttl("no"), client.expire("a", 100), client.expire("no", 1)] == [-1, -2, True, False]
    assert 90 < client.ttl("a") <= 100
    assert [client.expire("a", -1), client.get("a")] == [True, None]
    assert [client.set("e", "x", ex=50), client.set("f", "x", px=90000)] == [True, True]
    assert (40 < client.ttl("e") <= 50, 80 < client.ttl("f") <= 90) == (True, True)
    assert client.info()["connected_clients"] == 1
    client.set("words", "some")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("words")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("KEYS", "*")
    with pytest.raises(redis.ResponseError, match="wrong number"):
        client.execute_command("GET")
    with client.pipeline(transaction=False) as pipeline:
        for number in range(2000):
            pipeline.set(f"p{number}", number).get(f"p{number}")
        assert pipeline.execute()[1::2] == [b"%d" % number for number in range(2000)]
    with client.pubsub() as heard:
        heard.subscribe("news", "more")
        assert [heard.get_message(timeout=DEADLINE)["data"] for _ in range(2)] == [1, 2]
        assert [client.publish("news", b"a\0b"), client.publish("other", b"")] == [1, 0]
        assert heard.get_message(timeout=DEADLINE)["data"] == b"a\0b"
        heard.unsubscribe("more")
        assert heard.get_message(timeout=DEADLINE)["type"] == "unsubscribe"
        assert client.publish("more", b"") == 0
    assert [client.flushdb(), client.dbsize()] == [True, 0]
    for number in range(63):
        client.set(f"k{number}", bytes(LARGEST_VALUE))
    with pytest.raises(redis.ResponseError, match="memory"):
        client.set("k63", bytes(LARGEST_VALUE))
    assert client.set("k62", bytes(LARGEST_VALUE)) is True
    with pytest.raises(redis.ResponseError, match="too large"):
        client.mget([f"k{number}" for number in range(9)])
    stopped(server)


def test_redisLikeHostile(stage: Stage) -> None:
    server = stage.run("redislike")
    port = server.port()
    sent = b"PING\r\n\r\n*0\r\n*-1\r\n" + bulk(b"set", b"a", b"$1\r\n") + bulk(b"GET", b"a") + b"get no\r\nhello 2\r\n"
    wanted = b"+PONG\r\n+OK\r\n$4\r\n$1\r\n\r\n$-1\r\n*10\r\n"
    whole = answersTo(port, sent)
    assert whole == answersTo(port, sent, 1)
    assert whole.startswith(wanted)
    error = b"-ERR Protocol error: "
    for bad, answer in [
        (b"*1025\r\n", b"invalid multibulk length"),
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*1\r\n$1048577\r\n", b"invalid bulk length"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\nPING\r\n", b"invalid bulk length"),
        (b"*1\r\n$4\r\nPINGING\r\n", b"expected the end of a line behind a bulk string"),
        (b"x" * 9000, b"too big inline request"),
        (b"*5\r\n" + 4 * (b"$1048576\r\n%b\r\n" % bytes(1 << 20)) + b"$1\r\n", b"invalid bulk length"),
    ]:
        got = answersTo(port, bad + b"PING\r\n")
        assert got == error + answer + b"\r\n", bad[:40]
    assert (
        answersTo(port, bulk(b"HELLO", b"3") + b"QUIT\r\nPING\r\n")
        == b"-NOPROTO unsupported protocol version\r\n+OK\r\n"
    )
    assert answersTo(port, b"set n 9223372036854775807\r\nincr n\r\n").startswith(
        b"+OK\r\n-ERR value is not an integer"
    )
    many = (
        b"SUBSCRIBE"
        + b"".join(b" c%d" % number for number in range(65))
        + b"\r\nSUBSCRIBE a\r\nGET a\r\nUNSUBSCRIBE\r\n"
    )
    got = answersTo(port, many)
    assert got.startswith(b"-ERR too many channels")
    assert b"-ERR Can't execute 'get'" in got
    assert got.endswith(b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")
    big = bulk(b"SET", b"big", bytes(1000000))
    assert len(answersTo(port, big + b"GET big\r\n" * 20)) > 20000000
    stopped(server)


def test_redisLikeClosesSlowSubscribers(stage: Stage) -> None:
    server = stage.run("redislike")
    port = server.port()
    with closing(Peer(port)) as slow, closing(Peer(port)) as peer:
        slow.send("SUBSCRIBE a")
        assert slow.lines(1) == ["*3"]
        message = bulk(b"PUBLISH", b"a", bytes(1 << 20))
        for _ in range(100):
            peer.socket.sendall(message)
            if peer.lines(1) == [":0"]:
                break
        else:
            pytest.fail("the subscriber that does not read is still there")
    stopped(server)


@pytest.mark.needs("nc")
def test_shellServer(stage: Stage) -> None:
    server = stage.run("shellserver")
    port = server.port()
    sent = b"echo a\xff\xff b\r\n\xff\xfd\x01\xff\xfb\x03\xff\xfd\x01\xff\xfe\x01"
    sent += b"\xff\xfa\x18\x00quit\n\xff\xff\xff\xf0help\r\0\xff\xf1\n  rm -rf /\nquit\n"
    wanted = b"Try help.\r\n> a\xff\xff b\r\n> \xff\xfc\x01\xff\xfe\x03help, time, echo WORDS, who, quit\r\n> > "
    wanted += b"No such command. Try help.\r\n> Bye.\r\n"
    assert answersTo(port, sent + b"help\n") == answersTo(port, sent, 1) == wanted
    assert answersTo(port, b"help\n" * 100000).count(b"help, time") == 100000
    assert answersTo(port, b"echo " + b"x" * 500 + b"\nhelp\n") == b"Try help.\r\n> That line is too long.\r\n"
    command = ["nc", "-N", "127.0.0.1", str(port)]
    done = subprocess.run(command, input=b"who\ntime\n", capture_output=True, timeout=DEADLINE, check=True)
    assert re.fullmatch(rb"Try help\.\r\n> 127\.0\.0\.1:\d+\r\n> [-\d]{10} [:\d]{8} UTC\r\n> ", done.stdout)
    stopped(server)


def sentence(text: str) -> bytes:
    return f"${text}*{functools.reduce(operator.xor, text.encode()):02X}\r\n".encode()


def test_nmeaIngest(stage: Stage, left: ExitStack) -> None:
    server = stage.run("nmeaingest")
    port = server.port()
    first = sentence("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,")
    assert first.endswith(b"*47\r\n")
    assert answersTo(port, first + first.replace(b"*47", b"*48"), 1) == b""
    assert answersTo(port, b"$" + b"x" * 100) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(sentence("GPRMC,1,A,3351.000,S,15112.600,W,0,0,1,,") + sentence("PGRME,15"), ("127.0.0.1", port))
    while (line := server.line()) != "-33.85 -151.21 bad=2 GPGGA=1 GPRMC=1 PGRME=1":
        assert "GPRMC" not in line or "PGRME" not in line or "GPGGA" not in line or "bad=2" not in line, line
    stopped(server)


def test_nmeaLog() -> None:
    log = Log()
    log.add(sentence("GPGGA,1,9100.0,N,01131.0,E,1").strip())
    log.add(sentence("GPGGA,1,4860.0,N,01131.0,E,1").strip())
    log.add(sentence("GPGGA,1,4807.0,N,01131.0").strip())
    log.add(sentence("GPRMC,1,V,4807.0,N,01131.0,E").strip())
    log.add(sentence("GPXYZ," + "x" * 80).strip())
    assert (log.position, log.bad, log.counts) == (None, 4, {"GPGGA": 3, "GPRMC": 1})
    for number in range(2 * MOST_TYPES):
        log.add(sentence(f"P{number:04},1").strip())
    assert len(log.counts) == MOST_TYPES + 1
