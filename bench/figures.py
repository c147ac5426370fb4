"""The plots, and their contents. bench/plots.py draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure.

    `kind` is "bars", a panel for each of `cases`; or "curves", a line for each rival over `xs`, one for each of
    `cases`. The third kind is "marks", every mark. `rivals`, if given, are the rivals to show. `wide` is the number of
    panels side by side.
    """

    name: str
    title: str
    kind: str
    cases: tuple[str, ...] = ()
    xs: tuple[int, ...] = ()
    xTitle: str = ""
    rivals: tuple[str, ...] = ()
    wide: int = 2


PARSED = ("ours-batch", "ours", "ours-only", "naive", "split", "twisted-only", "asyncio", "asyncio-streams", "twisted")
LENGTHS = (8, 32, 100, 1000, 16000)
CHUNKS = (1, 16, 256, 1460, 4096, 65536, 1 << 20)
FIGURES = (
    Figure(
        "parse",
        "Cutting lines, CRLF, reads of 64 KiB",
        "curves",
        tuple(f"parse-crlf-{length}" for length in LENGTHS),
        LENGTHS,
        "bytes of a line",
        PARSED,
    ),
    Figure(
        "parse-lf",
        "Cutting lines, delimiter and limit set by the program, reads of 64 KiB",
        "curves",
        tuple(f"parse-lf-{length}" for length in LENGTHS),
        LENGTHS,
        "bytes of a line",
        (*PARSED, "ours-instance", "ours-asked", "ours-foreign", "bytesio"),
    ),
    Figure(
        "chunks",
        "Cutting 100-byte lines, in reads of every size",
        "curves",
        tuple(f"parse-chunk-{chunk}" for chunk in CHUNKS),
        CHUNKS,
        "bytes of a read",
    ),
    Figure(
        "requests",
        "A server's CPU time for a request, 50 connections",
        "bars",
        ("requests-50x1", "requests-50x16", "requests-50x100"),
        wide=3,
    ),
    Figure(
        "connections",
        "A server's CPU time for a request, one at a time on each connection",
        "curves",
        ("requests-1x1", "requests-50x1", "requests-500x1", "requests-5000x1"),
        (1, 50, 500, 5000),
        "connections",
        ("ours", "twisted", "asyncio", "uvloop", "rloop", "gevent", "tornado", "trio", "redis", "floor"),
    ),
    Figure("ingest", "Lines without answers", "bars", ("ingest-32", "ingest-1000")),
    Figure(
        "chat",
        "A line to every client of a chat",
        "curves",
        ("chat-1", "chat-10", "chat-100", "chat-1000"),
        (1, 10, 100, 1000),
        "clients",
    ),
    Figure("bulk", "Raw bytes, and datagrams", "bars", ("bulk-in", "bulk-out", "udp"), wide=3),
    Figure("tls", "Over TLS", "bars", ("tls-lines", "tls-in", "tls-out"), wide=3),
    Figure("handlers", "Asynchronous handlers", "bars", ("handlers-async", "handlers-asleep")),
    Figure(
        "aio", "Streams for coroutines: reactor.aio and asyncio", "bars", ("aio-16", "aio-100", "aio-ingest"), wide=3
    ),
    Figure(
        "connecting", "Accept, answer a line, close; and what an idle connection holds", "bars", ("accept", "memory")
    ),
    Figure(
        "loops",
        "Event loops without sockets",
        "bars",
        ("timers", "dispatch-turn", "threads", "dispatch-read"),
    ),
    Figure(
        "deferreds",
        "Deferreds",
        "bars",
        tuple(f"deferreds-{how}" for how in ("callbacks", "errbacks", "waiting", "coroutine", "generator", "gathered")),
        wide=3,
    ),
    Figure(
        "http",
        "HTTP/1.1: a server's CPU time for a request with 8 fields, 64 connections",
        "bars",
        ("http-1", "http-16", "http-varied", "http-digest"),
    ),
    Figure("http-bodies", "HTTP/1.1: bodies of 100 MiB", "bars", ("http-up", "http-down")),
    Figure(
        "http-parts",
        "HTTP/1.1: parsing a head; an idle connection",
        "bars",
        ("http-head", "http-heads", "http-memory"),
        wide=3,
    ),
    Figure("marks", "The marks: figure over mark, 1 is met", "marks"),
)
