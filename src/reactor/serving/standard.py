"""The command's descriptors 0 to 2: which of them were closed at its start, and /dev/null in their place.

A number that is left free becomes the number of the next file or socket that anybody opens, and print() writes there.
So before anything else the three are filled. What is then asked of one that was closed is refused, because whoever asks
for it means something else than /dev/null.
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
    """Have /dev/null stand for each of the three that is closed, and a file of Python's for each that it has not.

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
    """CommandError if one of `numbers`, which the user wants to be used, was closed when the command began."""
    for number in numbers:
        if number in _filled:
            raise CommandError(f"cannot open {NAMES[number]}: {os.strerror(errno.EBADF)}")


def numberOf(path: str) -> int:
    """Return which of our descriptors `path` is another name of, as /dev/stdout is; -1 if of none."""
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
