"""The options of places to listen: applications, endpoints, lines, limits, TLS, balancers, collect."""

from __future__ import annotations

from reactor.service.limits import LEAST_TIMEOUT, MOST_BACKLOG, MOST_KEEPALIVE, MOST_USER_TIMEOUT
from reactor.serving import values
from reactor.serving.collecting.formats import FORMATS
from reactor.serving.collecting.frames import MODES
from reactor.serving.collecting.settings import ENDS, SAME
from reactor.serving.collecting.syncing import POLICIES
from reactor.serving.linefile import ON_FULL
from reactor.serving.setting import (
    APPLICATION,
    BALANCER,
    COLLECT,
    HOST,
    LIMITS,
    LINES,
    PLACE,
    PLACES,
    PORT,
    PROCESS,
    TLS,
    Setting,
)
from reactor.serving.values import FLAG, NUMBER, TABLE, WHOLE, WHOLE_OR_TEXT, wholeNumber

_count = wholeNumber(1)
_lineRate = values.positive("lines a second")
_byteRate = values.positive("bytes a second")
_timeout = values.positive("seconds", low=LEAST_TIMEOUT)

PLACE_SETTINGS: tuple[Setting, ...] = (
    # the application
    Setting("app", APPLICATION, "the application to serve (default echo)", metavar="APP"),
    Setting(
        "http",
        APPLICATION,
        "package.module:name of a handler, which is called with each HTTP request",
        metavar="NAME",
    ),
    Setting(
        "service",
        APPLICATION,
        "a .tac file, or package.module:name, with an application of services",
        convert=values.filled("a file or package.module:name"),
        metavar="FILE",
    ),
    Setting(
        "arguments",
        APPLICATION,
        "a table of keyword arguments for the application",
        form=TABLE,
        outside=False,
    ),
    Setting("root", APPLICATION, "for files: the directory whose files are served", metavar="DIR"),
    # places
    Setting("name", PLACES, "the name of the place in statistics", PLACE, values.filled("a name"), outside=False),
    Setting("endpoint", PLACES, "an endpoint, or an array of endpoints", PLACE, outside=False),
    Setting("host", PLACES, f"address to listen on (default {HOST})", PROCESS, values.host),
    Setting(
        "port",
        PLACES,
        f"port to listen on; 0 takes a free one (default {PORT})",
        PROCESS,
        wholeNumber(0, 65535),
        WHOLE,
    ),
    Setting(
        "listen",
        PLACES,
        "endpoint to listen on, in place of --host and --port, or beside them if given. "
        r"The forms: tcp:PORT:interface=ADDRESS, tcp6:PORT:interface=\:\:1 (a colon in a value is escaped), "
        "unix:PATH, ssl:PORT:privateKey=FILE:certKey=FILE, tls:DIRECTORY, systemd:domain=INET:name=NAME, stdio:. "
        "The default interface is the loopback address. The option may be repeated",
        PROCESS,
        metavar="ENDPOINT",
        repeatable=True,
        emptyText="of endpoints is no place to listen",
    ),
    Setting(
        "backlog",
        PLACES,
        "clients that the system keeps for each socket until they are accepted (default 511)",
        convert=wholeNumber(1, MOST_BACKLOG),
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "keepalive",
        PLACES,
        "seconds of silence after which TCP asks whether the client is still there. Six questions without an answer, "
        "10 seconds apart, end the connection",
        convert=wholeNumber(1, MOST_KEEPALIVE),
        form=WHOLE,
        metavar="S",
    ),
    Setting(
        "user-timeout",
        PLACES,
        "seconds that sent bytes may stay unacknowledged; then TCP ends the connection",
        convert=values.positive("seconds", MOST_USER_TIMEOUT, 0.001),
        form=NUMBER,
        metavar="S",
    ),
    # lines and time
    Setting(
        "max-line",
        LINES,
        "longest line, in bytes (default 16384; for collect 1048576)",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "delimiter",
        LINES,
        "bytes that end a line: crlf, lf, newline (LF or CRLF), nul, or hexadecimal digits such as 0d0a",
        convert=values.delimiter,
        metavar="D",
    ),
    Setting("overlong", LINES, "a longer line closes its connection, or is skipped", choices=("close", "skip")),
    Setting(
        "line-deadline",
        LINES,
        "close connections whose line is not complete S seconds after its first byte",
        convert=_timeout,
        form=NUMBER,
        metavar="S",
    ),
    Setting(
        "idle-timeout",
        LINES,
        "close connections that complete no line or request within S seconds (checked every S/8)",
        convert=_timeout,
        form=NUMBER,
        metavar="S",
    ),
    # limits
    Setting(
        "max-connections", LIMITS, "most connections at a time of each process", convert=_count, form=WHOLE, metavar="N"
    ),
    Setting(
        "max-per-address",
        LIMITS,
        "most connections at a time of one address, in each process",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "address-prefix",
        LIMITS,
        "the first N bits of an IPv6 address count as one address (default 64)",
        convert=wholeNumber(1, 128),
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "allow",
        LIMITS,
        "network of clients that may connect; others may not then. The option may be repeated",
        convert=values.network,
        metavar="NETWORK",
        repeatable=True,
    ),
    Setting(
        "deny",
        LIMITS,
        "network of clients that may not connect, even if --allow has them. The option may be repeated",
        convert=values.network,
        metavar="NETWORK",
        repeatable=True,
    ),
    Setting(
        "max-output",
        LIMITS,
        "most unsent bytes of a connection; then it is closed",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "max-pending",
        LIMITS,
        "most bytes of unfinished lines of all connections of each process; above it, the largest are closed",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "line-rate",
        LIMITS,
        "lines a second of a connection; a faster one is read more slowly",
        convert=_lineRate,
        form=NUMBER,
        metavar="R",
    ),
    Setting("byte-rate", LIMITS, "bytes a second of a connection", convert=_byteRate, form=NUMBER, metavar="R"),
    Setting(
        "address-line-rate",
        LIMITS,
        "lines a second of all connections of an address, in each process",
        convert=_lineRate,
        form=NUMBER,
        metavar="R",
    ),
    Setting(
        "address-byte-rate",
        LIMITS,
        "bytes a second of all connections of an address, in each process",
        convert=_byteRate,
        form=NUMBER,
        metavar="R",
    ),
    Setting(
        "refusal",
        LIMITS,
        "text that a refused client gets, as one line (default none)",
        convert=values.answer,
        metavar="TEXT",
    ),
    # TLS
    Setting(
        "cert", TLS, "serve TLS with the certificates of this PEM file", convert=values.filled("a file"), metavar="FILE"
    ),
    Setting(
        "key",
        TLS,
        "PEM file of the private key (default the file of --cert)",
        convert=values.filled("a file"),
        metavar="FILE",
    ),
    Setting(
        "client-ca",
        TLS,
        "PEM file of authorities, one of which must have signed a client's certificate",
        convert=values.filled("a file"),
        metavar="FILE",
    ),
    Setting("tls-minimum", TLS, "lowest version of TLS (default 1.2)", choices=("1.2", "1.3")),
    Setting("session-tickets", TLS, "send session tickets, with which clients resume (default no)", form=FLAG),
    # PROXY protocol
    Setting(
        "proxy",
        BALANCER,
        "network of balancers, which must send a PROXY header, version 1 or 2; unix for UNIX sockets. "
        "The option may be repeated",
        convert=values.balancer,
        metavar="NETWORK",
        repeatable=True,
        emptyText="would refuse every client, as it trusts no balancer",
    ),
    Setting("proxy-before-tls", BALANCER, "the header comes before TLS, not inside it (default inside)", form=FLAG),
    # collect
    Setting("output", COLLECT, 'file to append the lines to; "-" is standard output', metavar="FILE"),
    Setting(
        "output-delimiter",
        COLLECT,
        "bytes that end a line in FILE; by default LF, or --delimiter's if that is nul or digits",
        choices=(*ENDS, SAME),
    ),
    Setting(
        "format",
        COLLECT,
        "lines as they come (text, the default), or an object of JSON for each",
        choices=FORMATS,
    ),
    Setting("prefix", COLLECT, "write the time (RFC 3339, UTC) and the client's address before a line", form=FLAG),
    Setting(
        "frames",
        COLLECT,
        "messages are lines, or octet-counted as in RFC 6587, or either (auto, the default)",
        choices=MODES,
    ),
    Setting(
        "rotate-size",
        COLLECT,
        "rotate FILE before it has more bytes: 100M, 2G. A longer line gets a file of its own",
        convert=values.byteCount,
        form=WHOLE_OR_TEXT,
        metavar="N",
    ),
    Setting(
        "rotate-every",
        COLLECT,
        "rotate FILE at multiples of T, in UTC: 3600, 15m, 1h, 1d",
        convert=values.period,
        form=WHOLE_OR_TEXT,
        metavar="T",
    ),
    Setting(
        "rotate-keep",
        COLLECT,
        "remove all rotated files but N (default: none)",
        convert=wholeNumber(0),
        form=WHOLE,
        metavar="N",
    ),
    Setting("rotate-gzip", COLLECT, "compress rotated files", form=FLAG),
    Setting(
        "fsync",
        COLLECT,
        "have the disk keep the lines: at the end (never, the default), each second, or before a client goes on",
        choices=POLICIES,
    ),
    Setting("on-full", COLLECT, "when the disk is full, wait for room (the default) or exit", choices=ON_FULL),
)
