"""The common parts of the servers: the jobs and the command line.

A server is run as `python -m bench.servers.NAME [VARIANT ...] JOB:PORT ...` and listens on 127.0.0.1. The jobs:

- pong: `+PONG` for each line; async: the same, from a coroutine; asleep: from a coroutine that sleeps a turn before
- echo: sends each line back
- count: counts lines and their bytes, sends the totals when the input ends, and closes
- chat: sends each line to every client, the sender included; only `?` goes back to its sender alone
- sink: takes as many bytes as the first 16 of them announce, and sends their number
- source: sends as many bytes as the first line asks for, in writes of 64 KiB, and closes
- udp: sends each datagram back

Lines end in CRLF. "tls-" before a job means over TLS. Each framework is used as in its documentation, with its own
defaults, except for a backlog that holds all clients.

The jobs over HTTP:

- http-hello: answers each request with the same 13 bytes
- http-digest: answers with the SHA-256 of the request's body, in hexadecimal digits
- http-sink: takes a body of any length, and answers with its number of bytes
- http-source: answers with as many bytes as the query asks for, in pieces of 64 KiB

Here a connection may also stay for 60 s between requests, and ask for as much as it likes. No server writes a log.
"""

from __future__ import annotations

import logging
import os
import resource
import ssl
import sys
from dataclasses import dataclass

DELIMITER = b"\r\n"
PONG = b"+PONG"
BLOCK = bytes(range(256)) * 256
BACKLOG = 4096
ASKING = b"?"
LAST = b"."  # the last line of a `count`, for servers that cannot answer once the input has ended
HELLO = b"Hello, world!"
KEPT = 60  # seconds between the requests of a connection over HTTP
HEADER = 16  # the first bytes of a `sink`, which come in one read: the total number, in decimal
JOBS = (
    "pong",
    "async",
    "asleep",
    "echo",
    "count",
    "chat",
    "sink",
    "source",
    "udp",
    "http-hello",
    "http-digest",
    "http-sink",
    "http-source",
    "tls-pong",
    "tls-sink",
    "tls-source",
)


@dataclass(frozen=True)
class Job:
    """A job, without its "tls-", and its port."""

    name: str
    port: int
    tls: bool

    @property
    def application(self) -> str:
        """Return the name without "http-"."""
        return self.name.removeprefix("http-")


def jobsOf(arguments: list[str]) -> list[Job]:
    """Return the jobs of the command line. Also raise the process's limit of connections to the system's."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns about every client that leaves early
    found = []
    for argument in arguments:
        name, _, port = argument.partition(":")
        if name not in JOBS:
            sys.exit(f"no job is called {name!r}")
        found.append(Job(name.removeprefix("tls-"), int(port), name.startswith("tls-")))
    return found


def forkForEach(jobs: list[Job]) -> Job:
    """Return the job of this process, for servers that do one job each: a child does each of the others."""
    for job in jobs[1:]:
        if os.fork() == 0:
            return job
    return jobs[0]


def sizeOf(query: bytes) -> int:
    """Return the number of bytes that the query of a `http-source` asks for."""
    return int(query)


def tlsContext(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """Return a server's context, with the run's certificate."""
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["BENCH_PEM"])
    return context


def totals(lines: int, size: int) -> bytes:
    """Return the answer of `count`."""
    return b"%d lines %d bytes\r\n" % (lines, size)


def total(size: int) -> bytes:
    """Return the answer of `sink`."""
    return b"%d bytes\r\n" % size
