"""The table of all options of `serve`: for the command line, the file and the environment."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from reactor.serving import values
from reactor.serving.collecting.formats import FORMATS
from reactor.serving.collecting.frames import MODES
from reactor.serving.collecting.settings import ENDS, SAME
from reactor.serving.collecting.syncing import POLICIES
from reactor.serving.linefile import ON_FULL
from reactor.serving.logformats import LOG_FORMATS
from reactor.serving.logs import LEVELS
from reactor.serving.values import (
    FLAG,
    NUMBER,
    TABLE,
    TEXT,
    WHOLE,
    WHOLE_OR_TEXT,
    Form,
    WrongValue,
    seconds,
    wholeNumber,
)

HOST = "127.0.0.1"
PORT = 7000
GRACE = 5.0  # seconds
CELL = 15  # words of a table's cell in the documents
VARIABLE = "LINEREACTOR_"  # the variables of the environment begin so

# An option of the scope PROCESS counts for the whole server. One of the scope LISTEN counts for a place to listen. At
# the top of a file it is the default of all places. A key of the scope PLACE stands only in a [[listen]] table.
PROCESS, LISTEN, PLACE = "process", "listen", "place"

# The titles of the groups in --help.
APPLICATION = "the application"
PLACES = "places to listen"
LINES = "lines and time"
LIMITS = "limits of each place"
TLS = "TLS"
BALANCER = "behind a balancer (PROXY protocol)"
COLLECT = "collect"
PROCESSES = "processes"
SIGHT = "the log, and what can be seen"
CONFIGURATION = "configuration"


@dataclass(frozen=True)
class Setting:
    """An option. `key` is its name in a file; `option`, `variable` and `name` are derived from it.

    `convert` makes the value from a text, and raises WrongValue. `form` is the type of the value in a file. `default`
    is the value without a source, None if nothing is set then. A `repeatable` option has a tuple of values.
    """

    key: str
    group: str
    help: str
    scope: str = LISTEN
    convert: Callable[[str], Any] = str
    form: Form = TEXT
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    repeatable: bool = False
    inFile: bool = True
    outside: bool = True  # whether the command line and the environment have it

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "APP" if self.key == "app" else f"--{self.key}"

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return VARIABLE + self.key.upper().replace("-", "_")

    @property
    def name(self) -> str:
        """The name in the library, in camelCase."""
        return camelCase(self.key)

    def fromText(self, text: str) -> Any:
        """Return the value that `text` stands for. WrongValue if there is none."""
        if self.choices:
            if text not in self.choices:
                raise WrongValue(f"invalid choice: {text!r} (choose from {', '.join(self.choices)})")
            return text
        return values.flag(text) if self.form is FLAG else self.convert(text)

    def fromFile(self, value: Any) -> Any:
        """Return the value for one of a TOML file. WrongValue if it has another type, or is not taken."""
        if self.repeatable:
            if not isinstance(value, list):
                raise WrongValue(f"an array is needed, each item {self.form.wanted}, not {values.described(value)}")
            return tuple(self._oneFromFile(each) for each in value)
        return self._oneFromFile(value)

    def _oneFromFile(self, value: Any) -> Any:
        if not isinstance(value, self.form.types) or (isinstance(value, bool) and self.form is not FLAG):
            raise WrongValue(f"{self.form.wanted} is needed, not {values.described(value)}")
        return value if self.form in (FLAG, TABLE) else self.fromText(str(value))


def camelCase(key: str) -> str:
    """Return a name in kebab-case in camelCase."""
    return re.sub(r"-(.)", lambda found: found[1].upper(), key)


_count = wholeNumber(1)
_rate = values.positive("a second")

SETTINGS: tuple[Setting, ...] = (
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
    ),
    Setting(
        "backlog",
        PLACES,
        "clients that the system keeps until they are accepted (default 511)",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "keepalive",
        PLACES,
        "seconds of silence after which TCP asks whether the client is still there",
        convert=_count,
        form=WHOLE,
        metavar="S",
    ),
    Setting(
        "user-timeout",
        PLACES,
        "seconds that sent bytes may stay unacknowledged; then TCP ends the connection",
        convert=seconds,
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
        convert=seconds,
        form=NUMBER,
        metavar="S",
    ),
    Setting(
        "idle-timeout",
        LINES,
        "close connections that complete no line or request within S seconds (checked every S/8)",
        convert=seconds,
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
        "most bytes of unfinished lines of all connections; above it, the longest wait",
        convert=_count,
        form=WHOLE,
        metavar="N",
    ),
    Setting(
        "line-rate",
        LIMITS,
        "lines a second of a connection; a faster one is read more slowly",
        convert=_rate,
        form=NUMBER,
        metavar="R",
    ),
    Setting("byte-rate", LIMITS, "bytes a second of a connection", convert=_rate, form=NUMBER, metavar="R"),
    Setting(
        "address-line-rate",
        LIMITS,
        "lines a second of all connections of an address",
        convert=_rate,
        form=NUMBER,
        metavar="R",
    ),
    Setting(
        "address-byte-rate",
        LIMITS,
        "bytes a second of all connections of an address",
        convert=_rate,
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
        "rotate FILE before it has more bytes: 100M, 2G",
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
    # processes
    Setting(
        "workers",
        PROCESSES,
        "run N processes, or one for each core (auto), below a supervisor (default none, one process)",
        PROCESS,
        values.workers,
        WHOLE_OR_TEXT,
        metavar="N",
    ),
    Setting(
        "loop",
        PROCESSES,
        "the event loop (default epoll, or the application's own)",
        PROCESS,
        choices=("epoll", "asyncio", "uvloop"),
    ),
    Setting(
        "grace",
        PROCESSES,
        "seconds in which connections end in order after a signal (default 5)",
        PROCESS,
        seconds,
        NUMBER,
        metavar="S",
        default=GRACE,
    ),
    Setting(
        "watchdog",
        PROCESSES,
        "replace a worker whose loop has not turned for S seconds",
        PROCESS,
        seconds,
        NUMBER,
        metavar="S",
    ),
    Setting(
        "max-lines",
        PROCESSES,
        "replace a worker after about N lines",
        PROCESS,
        _count,
        WHOLE,
        metavar="N",
    ),
    Setting(
        "max-lifetime",
        PROCESSES,
        "replace a worker after about S seconds",
        PROCESS,
        seconds,
        NUMBER,
        metavar="S",
    ),
    Setting("user", PROCESSES, "become this user when the ports are open", PROCESS, values.filled("a user")),
    Setting("group", PROCESSES, "become this group when the ports are open", PROCESS, values.filled("a group")),
    Setting(
        "reload",
        PROCESSES,
        "for development: reload when a file of the program changes (needs linereactor[reload])",
        PROCESS,
        form=FLAG,
    ),
    # sight
    Setting(
        "admin",
        SIGHT,
        "serve health, metrics and a status page here, for example 127.0.0.1:7070 or unix:PATH",
        PROCESS,
        values.place,
        metavar="PLACE",
    ),
    Setting(
        "slow-callback",
        SIGHT,
        "log and count callbacks that take more than MS milliseconds",
        PROCESS,
        values.positive("milliseconds"),
        NUMBER,
        metavar="MS",
    ),
    Setting(
        "log-level",
        SIGHT,
        "lowest level of the log (default warning)",
        PROCESS,
        choices=LEVELS,
        default="warning",
    ),
    Setting(
        "log-format",
        SIGHT,
        "lines of text (the default), or objects of JSON",
        PROCESS,
        choices=LOG_FORMATS,
        default="text",
    ),
    Setting(
        "log-file",
        SIGHT,
        "file for the log, in place of standard error; USR1 opens it anew",
        PROCESS,
        values.filled("a file"),
        metavar="FILE",
    ),
    Setting("log-connections", SIGHT, "log a line for each connection at its end", PROCESS, form=FLAG),
    # configuration
    Setting(
        "config",
        CONFIGURATION,
        "TOML file with these options as keys; the command line and the environment win over it",
        PROCESS,
        values.filled("a file"),
        metavar="FILE",
        inFile=False,
    ),
)

BY_KEY = {setting.key: setting for setting in SETTINGS}

# The keys of a [[listen]] table, and those above the first one.
TABLE_KEYS = tuple(each.key for each in SETTINGS if each.scope in (LISTEN, PLACE))
TOP_KEYS = tuple(each.key for each in SETTINGS if each.scope != PLACE and each.inFile)

# An application is named by one of these. A source that has one of them hides the others of weaker sources.
CHOICE = ("app", "http", "service")


def outsideSettings() -> Iterator[Setting]:
    """Return the settings that the command line and the environment have."""
    return (setting for setting in SETTINGS if setting.outside)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the name of `known` that is most like `name`, None if none is."""
    found = difflib.get_close_matches(name, list(known), 1, cutoff)
    return found[0] if found else None


def optionTable() -> list[str]:
    """Return the rows of the table of options in docs/command.md."""
    rows = ["| option, and key of a file | value in a file | where | meaning |", "| - | - | - | - |"]
    for setting in SETTINGS:
        option = f"`{setting.option}`" if setting.outside else f"key `{setting.key}`"
        if setting.key == "app":
            option = "`APP`, key `app`"
        if setting.form is FLAG:
            option += f", `--no-{setting.key}`"
        value = " or ".join(f"`{choice}`" for choice in setting.choices) or setting.form.wanted
        if setting.repeatable or setting.key == "endpoint":
            value = "an array of texts" if setting.repeatable else "a text, or an array of texts"
        where = {PROCESS: "top", LISTEN: "top, table", PLACE: "table"}[setting.scope] if setting.inFile else "no file"
        meaning = setting.help.partition(". ")[0]
        if len(meaning.split()) > CELL:
            meaning = re.split(r"[:;] | \(", meaning)[0]
        rows.append(f"| {option} | {value} | {where} | {meaning} |")
    return rows


def addOptions(parser: argparse.ArgumentParser) -> None:
    """Add every option to `parser`, in groups. Each stays a text; one that is not given is None."""
    groups: dict[str, Any] = {}
    for setting in outsideSettings():
        if setting.key == "app":
            parser.add_argument("app", nargs="?", metavar="APP", help=setting.help)
            continue
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        add = groups[setting.group].add_argument
        if setting.form is FLAG:
            add(
                setting.option,
                dest=setting.name,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=setting.help,
            )
            continue
        shown = setting.metavar or ("|".join(setting.choices) or setting.key.upper())
        action = "append" if setting.repeatable else "store"
        add(setting.option, dest=setting.name, action=action, metavar=shown, help=setting.help)
