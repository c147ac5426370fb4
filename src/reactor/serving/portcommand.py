"""`linereactor port`: moves the imports of a program from Twisted to this package."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from reactor._later import later
from reactor._logger import escaped
from reactor.serving.errors import RUNTIME
from reactor.serving.logs import say

if TYPE_CHECKING:
    from reactor import porting
else:
    porting = later("reactor.porting", globals())


def port(options: argparse.Namespace) -> int:
    """Port the files of the paths; print a diff, or with --write replace them. Return 0 if no name is left, else 1."""
    report = porting.portPaths(options.paths, options.write, lambda line: say(escaped(line)), _print)
    done = "ported" if options.write else "to port"
    say(f"{report.files} files read, {len(report.changed)} {done}, {report.left} names left, {report.errors} errors")
    return 0 if report.isWhole else RUNTIME


def _print(text: str) -> None:
    """Write a diff as the bytes of its files."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
