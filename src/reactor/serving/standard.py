"""The command's descriptors 0 to 2: if one was closed at the start, /dev/null takes its place.

The next file or socket that any code opens would get a free number, and print() would write there. So the command fills
the three first. It refuses an option that uses one that was closed, because its user did not mean /dev/null.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable

from reactor.serving.errors import CommandError

NAMES = ("standard input", "standard output", "standard error")
MODES = ("r", "w", "w")

_filled: set[int] = set()


def fillStandard() -> None:
    """Open /dev/null for each of the three that is closed, and a Python file for each that is missing.

    CommandError if there is no /dev/null.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _fill(number)
            _filled.add(number)
    for number in _filled:
        name = ("stdin", "stdout", "stderr")[number]
        if getattr(sys, name) is None:
            file = open(number, MODES[number], errors="backslashreplace", closefd=False)  # noqa: SIM115  the program's
            setattr(sys, name, file)


def _fill(number: int) -> None:
    try:
        fd = os.open(os.devnull, os.O_RDWR)
    except OSError as error:
        raise CommandError(f"cannot open {os.devnull} for {NAMES[number]}, which is closed: {error.strerror}") from None
    if fd != number:  # another thread was faster
        os.dup2(fd, number)
        os.close(fd)
    os.set_inheritable(number, True)


def demand(numbers: Iterable[int]) -> None:
    """CommandError if one of `numbers`, which an option uses, was closed when the command began."""
    for number in numbers:
        if number in _filled:
            raise CommandError(f"cannot open {NAMES[number]}: {os.strerror(errno.EBADF)}")


def numberOf(path: str) -> int:
    """Return the descriptor of which `path` is another name, as /dev/stdout is; -1 if there is none."""
    own = f"/proc/{os.getpid()}/fd"
    for _ in range(40):  # as many links as the system follows
        folder, name = os.path.split(path)
        if name.isdecimal() and os.path.realpath(folder) == own:
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            break
    return -1
