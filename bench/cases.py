"""The cases: one row each.

A row says what is measured, with which options and rivals. The work or the load that it names checks the answers, for
every rival and in every run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.loads import requestsJob

MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One case: a measurement with its options and rivals.

    `how` is one of these:

    - "work": work in a process of its own;
    - "serve": a server's share of the work that a load asks for;
    - "memory": the memory of a server's connections;
    - "growth": work at several sizes.

    `what` names the work (bench/work) or the load.

    A run takes about `seconds`, or does `count` units. `job` is the job of the servers. `quick` says whether the case
    is part of `make bench-quick`. With `spread`, servers and clients share all cores; else each side has one.
    """

    name: str
    title: str
    unit: str
    how: str
    what: str
    rivals: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    job: str = ""
    seconds: float = 0.3
    count: int = 0
    repetitions: int = 5
    quick: bool = False
    spread: bool = False


PARSERS = ("naive", "split", "asyncio", "asyncio-tuned", "asyncio-streams", "twisted", "twisted-only")
OUR_PARSERS = ("ours", "ours-batch", "ours-only")
LENGTHS = (8, 32, 100, 1000, 16000)
CHUNKS = (1, 16, 256, 1460, 4096, 65536, MIB)
ENDS = (1, 2, 3, 4, 8, 16)


def parse(name: str, title: str, rivals: tuple[str, ...], quick: bool = False, **options: Any) -> Case:
    return Case(name, title, "line", "work", "parse", rivals, options, seconds=0.04, repetitions=9, quick=quick)


def parsing() -> Iterable[Case]:
    for length in LENGTHS:
        title = f"parse: {length}-byte lines, CRLF, reads of 64 KiB"
        rivals: tuple[str, ...] = (*OUR_PARSERS, "ours-pure", *PARSERS)
        yield parse(f"parse-crlf-{length}", title, rivals, length in (8, 32, 100, 1000), length=length)
    for length in LENGTHS:
        title = f"parse: {length}-byte lines, delimiter LF and MAX_LENGTH set by a subclass"
        rivals = (*OUR_PARSERS, "ours-instance", "ours-asked", "ours-foreign", *PARSERS, "bytesio")
        yield parse(f"parse-lf-{length}", title, rivals, length in (32, 1000), length=length, delimiter=b"\n")
    for size in ENDS:
        ends = b"0123456789abcdef"[-size:]
        title = f"parse: 32-byte lines, a delimiter of {size} bytes"
        rivals = ("ours", "ours-batch", "naive", "asyncio", "twisted", "twisted-only")
        yield parse(f"parse-ends-{size}", title, rivals, length=32, delimiter=ends)
    for chunk in CHUNKS:
        title = f"parse: 100-byte lines, CRLF, reads of {chunk} bytes"
        rivals = ("ours", "ours-only", "asyncio", "asyncio-tuned", "twisted", "twisted-only")
        yield parse(f"parse-chunk-{chunk}", title, rivals, length=100, chunk=chunk)


# The sizes begin beyond those of the caches, where a byte costs little. Below, the caches would decide the figures.
GROWTHS = {
    "trickle1": ("one line, a byte at a time", MIB // 32),
    "trickle16": ("one line, 16 bytes at a time", MIB // 4),
    "floodOfCR": ("one line of CRs, delimiter CRLF", 8 * MIB),
    "floodOfPrefixes": ("one line of a's, delimiter aaaaaaaaaaaaaaab", 8 * MIB),
    "toggles": ("raw and line mode in turn, reads of 64 KiB", MIB // 4),
    "pauses": ("a pause at each line of a backlog", MIB),
}


def growing() -> Iterable[Case]:
    for how, (title, first) in GROWTHS.items():
        rivals = ("ours", "twisted") if how in ("toggles", "pauses") else ("ours", "ours-only", "twisted")
        options = {"how": how, "sizes": [first << step for step in range(5)]}
        quick = how in ("trickle16", "toggles", "pauses")
        yield Case(f"growth-{how}", f"growth: {title}", "byte", "growth", "growth", rivals, options, quick=quick)


def dispatching() -> Iterable[Case]:
    rivals = ("ours", "ours-only", "twisted", "twisted-only", "asyncio", "asyncio-tuned")
    title = "dispatch: a read that is one 32-byte line, and its answer"
    yield Case("dispatch-read", title, "line", "work", "answer", rivals, {"length": 32}, seconds=0.05, repetitions=9)
    loops = ("ours", "ours-uvloop", "twisted", "asyncio", "uvloop", "rloop")
    yield Case("dispatch-turn", "dispatch: a turn of the loop", "turn", "work", "turns", loops, seconds=0.2)
    title = "timers: a million set, half cancelled, the rest fired"
    yield Case("timers", title, "timer", "work", "timers", loops, count=1_000_000, repetitions=3, quick=True)
    title = "callFromThread: from another thread, in order"
    yield Case("threads", title, "call", "work", "threads", loops, seconds=0.2)
    for how in ("callbacks", "errbacks", "waiting", "coroutine", "generator", "gathered"):
        title = f"Deferreds: {how}"
        pair = ("ours", "twisted")
        case = Case(f"deferreds-{how}", title, "Deferred", "work", "deferreds", pair, {"how": how}, seconds=0.1)
        yield case


LOOPS = ("asyncio", "uvloop", "rloop")
STYLES = tuple(f"{loop}{style}" for loop in LOOPS for style in ("", "-tuned", "-streams"))
OTHERS = ("gevent", "tornado", "trio")
BARS = ("redis", "floor")
EVERYBODY = ("ours", "ours-idle", "ours-batch", "ours-only", "ours-uvloop", "twisted", "twisted-only", *STYLES, *OTHERS)
# Each rival takes seconds here, so there is one row for each way to work.
FEWER = ("ours", "ours-idle", "twisted", "asyncio", "uvloop", "rloop", *OTHERS, *BARS)


def requesting() -> Iterable[Case]:
    grid = [(1, 1), (50, 1), (500, 1), (5000, 1), (50, 16), (50, 100)]
    for connections, pipeline in grid:
        title = f"requests: {connections} connection{'s' * (connections > 1)}, {pipeline} deep"
        many = connections == 5000
        yield Case(
            f"requests-{connections}x{pipeline}",
            title,
            "request",
            "serve",
            "dialogue" if many else "requests",  # redis-benchmark would take four seconds to connect so many
            FEWER if many else (*EVERYBODY, *BARS),
            {"connections": connections, "pipeline": pipeline},
            "pong" if many else requestsJob(),
            seconds=0.8 if many else 0.3,
            repetitions=3 if many else 5,
            quick=connections == 50,
        )


def streaming() -> Iterable[Case]:
    rivals = ("ours", "ours-batch", "ours-only", "twisted", "twisted-only", *STYLES, *OTHERS, "floor")
    for length in (32, 1000):
        title = f"ingest: {length}-byte lines from 10 connections, no answers"
        options = {"connections": 10, "length": length}
        yield Case(f"ingest-{length}", title, "line", "serve", "ingest", rivals, options, "count", quick=length == 32)
    chatting = (
        "ours",
        "ours-only",
        "twisted",
        "twisted-only",
        "asyncio",
        "asyncio-streams",
        "uvloop",
        "rloop",
        *OTHERS,
    )
    for connections in (1, 10, 100, 1000):
        title = f"chat: each line to {connections} client{'s' * (connections > 1)}"
        options = {"connections": connections}
        case = Case(f"chat-{connections}", title, "delivery", "serve", "chat", chatting, options, "chat", repetitions=3)
        yield case
    into = ("ours", "ours-raw", "twisted", *STYLES, *OTHERS, "floor")
    title = "bulk in: raw bytes to the server, writes of 64 KiB"
    yield Case("bulk-in", title, "byte", "serve", "in", into, job="sink", quick=True)
    outOf = ("ours", "ours-pull", "twisted", *(style for style in STYLES if "tuned" not in style), *OTHERS, "floor")
    title = "bulk out: raw bytes from the server, writes of 64 KiB"
    yield Case("bulk-out", title, "byte", "serve", "out", outOf, job="source", quick=True)
    datagrams = ("ours", "ours-uvloop", "twisted", *LOOPS, "gevent", "trio")
    title = "UDP: 64-byte datagrams and their echoes, 32 under way"
    yield Case("udp", title, "datagram", "serve", "datagrams", datagrams, job="udp")


ONE_OR_TWO = ("ours-worker", "ours-workers", "uvloop", "uvloop-two", "floor", "floor-two")


def byWorkers() -> Iterable[Case]:
    for connections, pipeline in ((256, 1), (256, 16), (256, 64)):
        title = f"workers: {connections} connections, {pipeline} deep, from two clients"
        options = {"connections": connections, "pipeline": pipeline, "clients": 2}
        name, job = f"workers-{pipeline}", requestsJob()
        yield Case(
            name,
            title,
            "request",
            "serve",
            "requests",
            ONE_OR_TWO,
            options,
            job,
            1.0,
            quick=pipeline == 16,
            spread=True,
        )
    title = "workers: 100 connections, 20,000 requests a second in bursts of 20"
    options, job = {"connections": 100, "rate": 20_000}, requestsJob()
    yield Case("workers-paced", title, "request", "serve", "paced", ONE_OR_TWO, options, job, 1.0, spread=True)


def special() -> Iterable[Case]:
    encrypted = [style for style in STYLES if "rloop" not in style]  # rloop has no TLS
    safe = ("ours", "ours-batch", "twisted", *encrypted, *OTHERS)
    title = "TLS: lines, 50 connections, 16 deep"
    options = {"connections": 50, "pipeline": 16}
    yield Case("tls-lines", title, "request", "serve", "dialogue", (*safe, "redis"), options, "tls-pong", quick=True)
    bulk = ("ours", "twisted", *(style for style in encrypted if "tuned" not in style), *OTHERS)
    title = "TLS: bulk in, writes of 64 KiB"
    yield Case("tls-in", title, "byte", "serve", "in", bulk, job="tls-sink", repetitions=3)
    title = "TLS: bulk out, writes of 64 KiB"
    yield Case("tls-out", title, "byte", "serve", "out", bulk, job="tls-source", repetitions=3)
    waiting = ("ours", "twisted", "aio", "aio-uvloop", *(f"{loop}-streams" for loop in LOOPS), *OTHERS)
    pipelined = {"connections": 50, "pipeline": 16}
    for job, title in (("async", "which return at once"), ("asleep", "which sleep a turn")):
        title = f"asynchronous handlers, {title}: 50 connections, 16 deep"
        yield Case(f"handlers-{job}", title, "request", "serve", "dialogue", waiting, pipelined, job, repetitions=3)
    aio = ("aio", "aio-batch", "aio-uvloop", "aio-uvloop-batch", "asyncio-streams", "uvloop-streams", "rloop-streams")
    for pipeline in (16, 100):
        title = f"reactor.aio: requests, 50 connections, {pipeline} deep"
        options = {"connections": 50, "pipeline": pipeline}
        name, job = f"aio-{pipeline}", requestsJob()
        yield Case(name, title, "request", "serve", "requests", aio, options, job, quick=pipeline == 16)
    title = "reactor.aio: ingest of 100-byte lines from 10 connections"
    yield Case("aio-ingest", title, "line", "serve", "ingest", aio, {"connections": 10, "length": 100}, "count")
    everybody = tuple(name for name in EVERYBODY if name != "ours-batch" and "tuned" not in name)
    title = "accept: connect, a line, its answer, close"
    yield Case("accept", title, "connection", "serve", "accepts", (*everybody, *BARS), job="pong", quick=True)
    title = "memory: 10,000 idle connections, each with half a line"
    holding = (*everybody, *BARS)
    yield Case(
        "memory", title, "connection", "memory", "idle", holding, job="pong", count=10_000, repetitions=1, quick=True
    )


PYTHONS = ("ours-http", "uvicorn", "granian", "granian-rsgi", "aiohttp", "tornado-web", "hypercorn", "twisted-web")
WEB = (*PYTHONS, "nginx")


def overHTTP() -> Iterable[Case]:
    def asked(name: str, title: str, rivals: tuple[str, ...], job: str = "http-hello", **options: Any) -> Case:
        title = f"HTTP: {title}, 64 connections, {options.get('pipeline', 1)} deep"
        return Case(f"http-{name}", title, "request", "serve", "http", rivals, {"connections": 64, **options}, job)

    everybody = ("ours-http", "ours-http-uvloop", "ours-http-request", *WEB[1:])
    yield asked("1", "requests", everybody)
    yield asked("16", "requests", everybody, pipeline=16)
    yield asked("varied", "requests with fields of their own", WEB, varied=True)
    yield asked("digest", "1 KiB, answered with its SHA-256", PYTHONS, "http-digest", body=1024)
    for name, title, job in (
        ("up", "a body of 100 MiB to the server", "http-sink"),
        ("down", "a body of 100 MiB from the server", "http-source"),
    ):
        yield Case(f"http-{name}", f"HTTP: {title}", "byte", "serve", f"http-{name}", PYTHONS, {}, job, count=100 * MIB)
    parsers = ("ours-http", "httptools", "h11", "h11-reader")
    for name, title, varied in (("head", "the same each time", False), ("heads", "their values differ", True)):
        title = f"HTTP: a head of 8 fields, parsed in process; {title}"
        options = {"varied": varied}
        yield Case(f"http-{name}", title, "head", "work", "heads", parsers, options, seconds=0.1, repetitions=9)
    title = "HTTP: memory of 5,000 connections, each of which has asked once"
    job = "http-hello"
    yield Case("http-memory", title, "connection", "memory", "http-idle", WEB, {}, job, count=5000, repetitions=1)


ROWS = [*parsing(), *growing(), *dispatching(), *requesting(), *streaming(), *byWorkers(), *special(), *overHTTP()]
CASES = {row.name: row for row in ROWS}
