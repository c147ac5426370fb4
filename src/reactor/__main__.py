"""The `linereactor` command; `python -m reactor` is the same."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import cast

from reactor._current import current
from reactor._later import LacksModule
from reactor._logger import escaped
from reactor.loops.base import ReactorBase
from reactor.serving.check import check
from reactor.serving.errors import RUNTIME, CommandError
from reactor.serving.loadcommand import load
from reactor.serving.logs import finish, say
from reactor.serving.options import makeParser, programName
from reactor.serving.portcommand import port
from reactor.serving.serve import serve
from reactor.serving.standard import fillStandard

ReactorOf = Callable[[], ReactorBase]

COMMANDS: dict[str, Callable[[argparse.Namespace, ReactorOf], int]] = {
    "serve": serve,
    "check": lambda options, reactorOf: check(options),
    "load": lambda options, reactorOf: load(options, reactorOf()),
    "port": lambda options, reactorOf: port(options),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (None: the process's own) on the current reactor; return its exit code.

    An error is one line on standard error, and exit code 1, or 2 for wrong arguments. SystemExit if the arguments
    cannot be parsed.
    """
    name = programName()
    try:
        fillStandard()  # first, as any other descriptor could get one of the three numbers
        options = makeParser().parse_args(arguments)
        options.commandLine = arguments
        name = f"{programName()} {options.command}"
        return _run(options)
    except CommandError as error:
        say(f"{name}: {error}")
        finish()
        return error.code
    except LacksModule as error:
        say(f"{name}: {error}")
        finish()
        return RUNTIME
    except KeyboardInterrupt:  # before the reactor handled the signal, or after it had stopped handling it
        return 128 + signal.SIGINT


def _run(options: argparse.Namespace) -> int:
    try:
        return COMMANDS[options.command](options, lambda: cast("ReactorBase", current()))
    # raised by an application; Python would write the text as is, and wait for its reader
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            raise
        say(escaped(str(leaving.code)))
        raise SystemExit(RUNTIME) from None
    finally:
        finish()


if __name__ == "__main__":
    sys.exit(main())
