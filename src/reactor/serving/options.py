"""The command's options, and the forms of their values."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from reactor._logger import escaped
from reactor.linecore import IMPLEMENTATION
from reactor.serving.errors import USAGE
from reactor.serving.logs import LEVELS

HOST = "127.0.0.1"
PORT = 7000
LINE_LENGTH = 32
MIN_LINE_LENGTH = 16

SERVE_HELP = """\
APP is one of
  echo     sends each line back (the default)
  chat     one room: each line goes to all others
  collect  appends every line of every client to the file of --output
  files    serves the files of --root over HTTP
or package.module:name. The name is a Protocol class, a Factory class or instance, or a function without arguments that
returns one of these. An HTTPFactory serves HTTP. The module may lie in the current directory.
In place of APP, --http names a handler of HTTP requests.

Lines of the built-in applications end in LF. A CR before the LF is part of the line, so clients that end lines in CRLF
are served as well. An APP of your own keeps its settings, except for those that these options change.

collect keeps each line one line of the file. The end of the file's lines may stand inside a line, for example an LF in
a line that ends in CRLF. Each of its bytes is then written as # and three octal digits: #012. If FILE is a pipe whose
reader is slow, the lines wait, and so do the clients. Lines that still wait 5 seconds after a signal are lost: a
message counts them, and the exit code is 1.

files serves regular files below DIR, and lists its directories. It follows links that stay below DIR. It shows no name
that begins with a dot.

HTTP has limits of its own, so the options for lines are refused there, and --idle-timeout is the time between two
requests of a connection. With --log-level info, the log has one line for each request that was answered.

Only this machine can connect, unless --host or the interface of a --listen names another address.
SIGINT or SIGTERM ends the command in order. It accepts no more connections, answers the lines and requests that it has
read, and sends the answers, for 5 seconds at most. The last answer of a connection of HTTP says that it is the last.
The command exits with 0. A second signal ends it at once."""

LOAD_HELP = """\
Each connection has up to P lines in flight, all different. Each reply must be the line that was sent, in order. A wrong
or a missing reply ends the run with exit code 1.
Latency is the time from writing a line to having its reply. It is measured for every line, with P lines in flight on
each connection, so a slow server is also asked less often.
Lines are sent with CRLF; replies may end in LF or CRLF."""


class Delimiter(NamedTuple):
    """The end of a line, and whether a CR before it is left out of the line."""

    delimiter: bytes
    stripCR: bool = False


DELIMITERS = {
    "crlf": Delimiter(b"\r\n"),
    "lf": Delimiter(b"\n"),
    "newline": Delimiter(b"\n", True),
    "nul": Delimiter(b"\0"),
}


SAME = "same"
OUTPUT_DELIMITERS = ("lf", "crlf", "nul", SAME)


class Target(NamedTuple):
    """The address of a load."""

    host: str
    port: int

    def __str__(self) -> str:
        return where(self.host, self.port)


def where(host: str, port: int) -> str:
    """Return host and port as text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line.

    A subcommand's parser refuses unknown arguments itself, so that the line names the subcommand and its --help.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See ArgumentParser."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Exit with USAGE."""
        self.exit(USAGE, f"{self.prog}: {escaped(message)} (see {self.prog} --help)\n")


def wholeNumber(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Return a converter to whole numbers from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            wanted = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
            raise argparse.ArgumentTypeError(f"a whole number {wanted} is needed, not {text!r}")
        return number

    return convert


def seconds(text: str) -> float:
    """Convert a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"a positive number of seconds is needed, not {text!r}")
    return number


def delimiter(text: str) -> Delimiter:
    """Convert a delimiter's name, or its bytes in hexadecimal."""
    known = DELIMITERS.get(text.lower())
    if known is not None:
        return known
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if not octets:
        names = ", ".join(DELIMITERS)
        raise argparse.ArgumentTypeError(
            f"a delimiter is one of {names}, or bytes in hexadecimal as 0d0a, not {text!r}"
        )
    return Delimiter(octets)


def host(text: str) -> str:
    """Convert a host. An empty one is refused: it would mean every interface, and is often an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("an address is needed; 0.0.0.0 is every IPv4 address of this machine")
    return text


def target(text: str) -> Target:
    """Convert HOST:PORT, or [IPv6]:PORT."""
    name, colon, number = text.rpartition(":")
    literal = name.startswith("[") and name.endswith("]")
    inner = name[1:-1] if literal else name
    if not colon or not inner or (":" in inner and not literal):
        raise argparse.ArgumentTypeError(f"HOST:PORT is needed, or [IPv6]:PORT, not {text!r}")
    port = int(number) if number.isdecimal() and len(number) <= 5 else -1
    if not 0 < port <= 65535:
        raise argparse.ArgumentTypeError(f"the port in {text!r} is no number from 1 to 65535")
    return Target(inner, port)


def version() -> str:
    """Return the version of the installed distribution."""
    try:
        return importlib.metadata.version("linereactor")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def programName() -> str:
    """Return the name by which the command was called."""
    return "python -m reactor" if sys.argv[0].endswith("__main__.py") else "linereactor"


def makeParser() -> Parser:
    """Return the parser of the whole command line; the result's `command` is "serve" or "load"."""
    parser = Parser(
        prog=programName(), description="Servers on the Twisted network model, and a load for servers of lines."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"linereactor {version()}, line core {IMPLEMENTATION}, Python {sys.version.split()[0]}",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve | load")
    _addServe(commands.add_parser("serve", **_texts("run a server of lines, or of HTTP", SERVE_HELP)))
    _addLoad(commands.add_parser("load", **_texts("drive an echo server and check every reply", LOAD_HELP)))
    return parser


def _texts(short: str, long: str) -> dict[str, Any]:
    return {
        "help": short,
        "description": short[0].upper() + short[1:] + ".",
        "epilog": long,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _addServe(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("app", nargs="?", metavar="APP", help="the application to serve, see below")
    add("--http", metavar="NAME", help="package.module:name of a handler, which is called with each HTTP request")
    add("--root", metavar="DIR", help="for files: the directory whose files are served")
    add("--host", type=host, help=f"address to listen on (default {HOST})")
    add("--port", type=wholeNumber(0, 65535), help=f"port to listen on; 0 takes a free one (default {PORT})")
    add(
        "--listen",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="endpoint to listen on, in place of --host and --port, or in addition to them if given. "
        r"The forms: tcp:PORT:interface=ADDRESS, tcp6:PORT:interface=\:\:1 (a colon in a value is escaped), "
        "unix:PATH, ssl:PORT:privateKey=FILE:certKey=FILE, tls:DIRECTORY, systemd:domain=INET:name=NAME, stdio:. "
        "The default interface is the loopback address. The option may be repeated",
    )
    add(
        "--max-line",
        type=wholeNumber(1),
        metavar="N",
        help="longest line, in bytes (default 16384; for collect 1048576)",
    )
    add(
        "--delimiter",
        type=delimiter,
        metavar="D",
        help="bytes that end a line: crlf, lf, newline (LF or CRLF), nul, or hexadecimal digits such as 0d0a",
    )
    add("--overlong", choices=("close", "skip"), help="a longer line closes its connection, or is skipped")
    add(
        "--idle-timeout",
        type=seconds,
        metavar="S",
        help="close connections that complete no line or request within S seconds (checked every S/8)",
    )
    add("--output", metavar="FILE", help='for collect: file to append the lines to; "-" is standard output')
    add(
        "--output-delimiter",
        choices=OUTPUT_DELIMITERS,
        help="for collect: bytes that end a line in FILE; by default LF, or --delimiter's if that is nul or digits",
    )
    add(
        "--log-level",
        choices=LEVELS,
        default="warning",
        help="lowest level of the log on standard error (default warning)",
    )


def _addLoad(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", type=target, metavar="HOST:PORT", help="the echo server")
    add("--connections", type=wholeNumber(1), default=50, metavar="C", help="connections (default 50)")
    add(
        "--pipeline",
        type=wholeNumber(1),
        default=16,
        metavar="P",
        help="lines in flight on each connection (default 16)",
    )
    add("--lines", type=wholeNumber(1), default=100_000, metavar="N", help="lines in all (default 100000)")
    add(
        "--line-length",
        type=wholeNumber(MIN_LINE_LENGTH),
        default=LINE_LENGTH,
        metavar="L",
        help=f"bytes in a line, without its ending (default {LINE_LENGTH}, at least {MIN_LINE_LENGTH})",
    )
