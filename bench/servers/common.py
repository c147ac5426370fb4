"""What the servers share: which jobs there are, and what the command line says.

A server is run as `python -m bench.servers.NAME [VARIANT ...] JOB:PORT ...` and listens on 127.0.0.1. The jobs:

- pong: `+PONG` for each line; async: the same, from a coroutine; asleep: from a coroutine that sleeps a turn before
- echo: each line comes back
- count: counts lines and their bytes, says how many there were when the input ends, and closes
- chat: each line goes to every client, the one who sent it too; only `?` comes back to its sender alone
- sink: takes as many bytes as the first 16 of them announce, and says how many there were
- source: sends as many bytes as the first line asks for, in writes of 64 KiB, and closes
- udp: each datagram comes back

Lines end in CRLF. "tls-" before a job means over TLS. Each framework is used as its documentation shows it, with its
own defaults, but for a backlog that holds everybody.
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
HEADER = 16  # the first bytes of a `sink`, which come in one read: how many there will be in all, in decimal
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
    "tls-pong",
    "tls-sink",
    "tls-source",
)


@dataclass(frozen=True)
class Job:
    """A job, without its "tls-", and where to do it."""

    name: str
    port: int
    tls: bool


def jobsOf(arguments: list[str]) -> list[Job]:
    """The jobs that the command line asks for; also lets the process have as many connections as the system allows."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of every client that leaves early
    found = []
    for argument in arguments:
        name, _, port = argument.partition(":")
        if name not in JOBS:
            sys.exit(f"no job is called {name!r}")
        found.append(Job(name.removeprefix("tls-"), int(port), name.startswith("tls-")))
    return found


def tlsContext(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """A server's context, with the certificate that the run has made."""
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["BENCH_PEM"])
    return context


def totals(lines: int, size: int) -> bytes:
    """What `count` answers."""
    return b"%d lines %d bytes\r\n" % (lines, size)


def total(size: int) -> bytes:
    """What `sink` answers."""
    return b"%d bytes\r\n" % size
