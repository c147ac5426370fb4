"""Starting a child process with exactly the requested descriptors.

subprocess.Popen does the work. Between fork (vfork, if possible) and exec it runs C code only. It closes every
descriptor that is not for the child. A program that cannot be started is an OSError here, not an exit code there. It
places descriptors 0 to 2. A higher number is occupied in this process until the child has started, and the child
inherits it.

Two tasks need a function in Python in the child before exec. One is a number that is in use here for another file; the
other makes a terminal the controlling one. That function only makes system calls, and takes no lock.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from reactor._numbers import closeNumber
from reactor.transports.children.command import Command

try:
    import fcntl
    import pwd
    import termios
except ImportError:  # no child processes there: spawn() raises
    HAS_CHILDREN = False
else:
    HAS_CHILDREN = True


END_REST = 0.001


def spawn(command: Command, descriptors: Mapping[int, int], terminal: bool = False) -> int:
    """Run `command` with `descriptors`, which maps numbers of the child to ours; return the child's process number.

    The caller keeps its descriptors, and waits for the child. Missing numbers of 0 to 2 are /dev/null in the child; all
    other descriptors are closed there. With `terminal` the child leads a session of its own, whose terminal is its
    descriptor 0. OSError if it cannot be started.
    """
    if not HAS_CHILDREN:
        raise NotImplementedError("child processes need fork and exec")
    held: list[int] = []
    try:
        higher = {child: ours for child, ours in descriptors.items() if child > 2}
        moves = _occupy(higher, held)
        stdin, stdout, stderr = (descriptors.get(number, subprocess.DEVNULL) for number in range(3))
        child = _Child(
            list(command.args) or [command.executable],
            executable=command.executable,
            env=command.env,
            cwd=command.path or None,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(higher),
            start_new_session=terminal,
            preexec_fn=_preparation(moves, terminal),
            bufsize=0,
            **_identity(command.uid, command.gid),
        )
    finally:
        closeAll(held)
    child.returncode = 0  # so it does not wait for the child itself, for example at the next child's start
    return child.pid


class _Child(subprocess.Popen[bytes]):
    """A child that is killed and reaped if an exception comes after its fork: it does not count as started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except BaseException as error:
            if getattr(self, "_child_created", False) and self.returncode is None:
                endChild(self.pid)
                self.returncode = -signal.SIGKILL
            if isinstance(error, subprocess.SubprocessError):  # the steps in the child before exec
                raise OSError(f"the child could not be prepared: {error}") from error
            raise


def closeAll(numbers: list[int]) -> None:
    """Close descriptors, without an allocation, as there may be a child by now, which must not be lost."""
    index = len(numbers)
    while index:
        index -= 1
        closeNumber(numbers[index])


def endChild(pid: int) -> None:
    """Kill our child `pid`, which no caller knows of, and wait for its end. Without memory, try again."""
    while True:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        except MemoryError:
            sleep(END_REST)
        except OSError:
            return


def _occupy(wanted: Mapping[int, int], held: list[int]) -> list[tuple[int, int]]:
    """Occupy each number of `wanted` in this process with the child's file for it.

    Return the (source, number) pairs that the child must move itself, because the number is in use here. No source is
    one of the numbers, so the order of the moves does not matter.
    """
    moves = []
    for child, ours in wanted.items():
        if child == ours:
            continue
        if _duplicate(ours, child, held) != child:
            moves.append((_duplicate(ours, max(wanted) + 1, held), child))
    return moves


def _duplicate(fd: int, least: int, held: list[int]) -> int:
    """Return a duplicate of `fd`, added to `held`, whose number is the first free one from `least` on."""
    number: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
    try:
        held.append(number)
    except BaseException:
        closeNumber(number)
        raise
    return number


def _preparation(moves: list[tuple[int, int]], terminal: bool) -> Callable[[], None] | None:
    """Return the function that the child must run before exec, or None."""
    if not moves and not terminal:
        return None

    def prepare() -> None:
        for source, number in moves:
            os.dup2(source, number)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return prepare


def _identity(uid: int | None, gid: int | None) -> dict[str, Any]:
    """Return Popen's arguments for a change of user or group. The child keeps none of our supplementary groups."""
    if uid is None and gid is None:
        return {}
    user = os.geteuid() if uid is None else uid
    group = os.getegid() if gid is None else gid
    try:
        groups = os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a user without a name is only in its own group
        groups = [group]
    return {"user": user, "group": group, "extra_groups": groups}
