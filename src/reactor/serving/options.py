"""The command's options, and the forms of their values."""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import re
import sys
import textwrap
from typing import Any, NoReturn

from reactor._logger import escaped
from reactor.linecore import IMPLEMENTATION
from reactor.serving.errors import USAGE
from reactor.serving.loadplan import CONNECTIONS, LINES, PIPELINE
from reactor.serving.loadtarget import target
from reactor.serving.settings import addOptions
from reactor.serving.values import positive, wholeNumber

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
read, and sends the answers, for --grace seconds at most. The last answer of a connection of HTTP says that it is the
last. The command exits with 0. A second signal ends it at once.

With --workers, a supervisor opens the ports and starts the workers. SIGHUP starts new workers with fresh code and
configuration, and ends the old ones in order. SIGTTIN adds a worker, and SIGTTOU removes one. SIGUSR1 opens log files
and outputs anew, with and without workers.

The file of --config has the names of the options as its keys, and a [[listen]] table for each place to listen. Each
option is also a variable, for example LINEREACTOR_MAX_LINE. The command line wins over the environment, and both win
over the file. linereactor check tells what is wrong with all of it."""

CHECK_HELP = """\
The options and the variables LINEREACTOR_... are those of serve. Each mistake is one line on standard error, with the
key at its beginning, and the exit code is 2. Without a mistake, standard output tells what would be served, and the
exit code is 0. No port is opened. The modules of applications are imported, unless --no-import is given."""

LOAD_HELP = """\
TARGET is HOST:PORT or [IPv6]:PORT, tls://HOST:PORT for TLS, or unix:PATH for a UNIX socket.
Each reply must be the line that was sent, in order, and all lines differ. A wrong or a missing reply ends the run with
exit code 1.
Each connection has up to P lines in flight, so a slow server is asked less often. Latency is then the time from writing
a line to having its reply.
With --rate the lines are sent at their times, R a second in all, however slow the server is. Latency is then the time
from the moment at which a line was due to its reply. So a server that stands still counts for every line that it holds
up. The figures have a histogram: a row for each limit of time, with the lines up to it and beyond the row before.
Lines are sent with CRLF; replies may end in LF or CRLF."""

PORT_HELP = """\
PATH is a file, or a directory whose Python files are read: .py, .pyi, .pyw, .tac, and scripts that name python in
their first line. Hidden directories, virtual environments and links to directories are left out.

The import lines of Twisted's names are written with the names of this package. Everything else in a file stays, byte
for byte. Without --write, no file is changed, and standard output has the changes as a diff.

Each name without a counterpart is one line on standard error: its place, the name, and what to do. The exit code is 1
if one is left, or if a file cannot be read. The other files are ported all the same."""


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


class Formatter(argparse.HelpFormatter):
    """A formatter that fills the paragraphs of texts to the terminal's width, and breaks no option at a hyphen.

    A line that begins with spaces stays a line.
    """

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for isLoose, lines in itertools.groupby(text.split("\n"), lambda line: bool(line) and line[0] != " "):
            for part in [" ".join(lines)] if isLoose else lines:
                start = re.match(r" *(?:\S+ {2,})?", part)
                hanging = " " * len(start[0]) if start and part.startswith(" ") else ""
                filled.append(textwrap.fill(part, width, subsequent_indent=hanging, break_on_hyphens=False))
        return "\n".join(filled)


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
    """Return the parser of the whole command line; the result's `command` is "serve", "check", "load" or "port".

    The values of serve and check are texts; reactor.serving.config reads them.
    """
    parser = Parser(
        prog=programName(), description="Servers on the Twisted network model, and a load for servers of lines."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"linereactor {version()}, line core {IMPLEMENTATION}, Python {sys.version.split()[0]}",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve | check | load | port")
    addOptions(
        commands.add_parser(
            "serve", usage="%(prog)s [options] [APP]", **_texts("run a server of lines, or of HTTP", SERVE_HELP)
        )
    )
    checking = commands.add_parser(
        "check",
        usage="%(prog)s [options] [APP]",
        **_texts("tell what is wrong with the configuration of serve", CHECK_HELP),
    )
    checking.add_argument("--no-import", action="store_true", help="import no application")
    addOptions(checking)
    _addLoad(commands.add_parser("load", **_texts("drive an echo server and check every reply", LOAD_HELP)))
    porting = commands.add_parser("port", **_texts("move a program's imports from Twisted to this package", PORT_HELP))
    porting.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a directory")
    porting.add_argument("--write", action="store_true", help="change the files; without it, a diff is shown")
    return parser


def _texts(short: str, long: str) -> dict[str, Any]:
    return {
        "help": short,
        "description": short[0].upper() + short[1:] + ".",
        "epilog": long,
        "formatter_class": Formatter,
    }


def _part(text: str) -> tuple[int, int]:
    """Convert the number of a part, and of all, as `1/3`."""
    part, _, parts = text.partition("/")
    return int(part), int(parts)


def _addLoad(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", type=target, metavar="TARGET", help="the echo server, see below")
    number = wholeNumber(1)
    add("--connections", type=number, default=CONNECTIONS, metavar="C", help=f"connections (default {CONNECTIONS})")
    add("--pipeline", type=number, metavar="P", help=f"lines in flight on each connection (default {PIPELINE})")
    add("--rate", type=positive("lines a second"), metavar="R", help="lines a second in all, each sent at its time")
    add("--lines", type=number, metavar="N", help=f"lines in all (default {LINES}, without --duration)")
    add("--duration", type=positive("seconds"), metavar="S", help="send lines for S seconds")
    add(
        "--line-length",
        type=wholeNumber(MIN_LINE_LENGTH),
        default=LINE_LENGTH,
        metavar="L",
        help=f"bytes in a line, without its ending (default {LINE_LENGTH}, at least {MIN_LINE_LENGTH})",
    )
    add("--processes", type=number, default=1, metavar="N", help="processes that share the connections (default 1)")
    add("--ca", metavar="FILE", help="for tls: certificates to trust, in place of the system's")
    add("--insecure", action="store_true", help="for tls: verify no certificate")
    add("--histogram", action="store_true", help="print all percentiles and a histogram without --rate, too")
    add("--plot", metavar="FILE", help="draw the latencies to FILE, a .svg, .png or .pdf (extra: linereactor[plot])")
    add("--part", type=_part, help=argparse.SUPPRESS)
