"""Starting a child process with exactly the descriptors that were asked for.

subprocess.Popen does the work: between fork (vfork, where it can) and exec it runs C code only, it closes every
descriptor that is not meant for the child, and a program that cannot be started is an OSError here, not an exit code
there. It places descriptors 0 to 2. For a higher number we occupy that number in this process until the child has
started, and let the child inherit it.

Two things remain for which a function in Python runs in the child before exec: a number that is in use here for
something else, and making a terminal the controlling one. That function makes system calls only; it takes no lock.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Any

from reactor._numbers import closeNumber
from reactor.interfaces import Environment, Text

try:
    import fcntl
    import pwd
    import termios
except ImportError:  # there are no children there: spawn() says so
    HAS_CHILDREN = False
else:
    HAS_CHILDREN = True


END_REST = 0.001


@dataclass(frozen=True)
class Command:
    """What to run: see ReactorBase.spawnProcess."""

    executable: Text
    args: Sequence[Text]
    env: Environment | None
    path: Text | None
    uid: int | None
    gid: int | None


def spawn(command: Command, descriptors: Mapping[int, int], terminal: bool = False) -> int:
    """Run `command` with `descriptors`, which maps numbers of the child to ours; return the child's process number.

    Descriptors of ours stay open and ours, and waiting for the child is the caller's business. Of the numbers 0 to 2,
    those that are left out are /dev/null; any other descriptor is closed in the child. With `terminal` it leads a
    session of its own, whose terminal is its descriptor 0. OSError if it cannot be started.
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
    child.returncode = 0  # so that it does not wait for the child itself, at the next child's start for example
    return child.pid


class _Child(subprocess.Popen[bytes]):
    """A child that is killed, and waited for, if something is raised after its fork: it has not been started then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except BaseException as error:
            if getattr(self, "_child_created", False) and self.returncode is None:
                endChild(self.pid)
                self.returncode = -signal.SIGKILL
            if isinstance(error, subprocess.SubprocessError):  # what was to be done in it before exec
                raise OSError(f"the child could not be prepared: {error}") from error
            raise


def closeAll(numbers: list[int]) -> None:
    """Close descriptors, without an allocation: there may be a child by now, and it must not be lost."""
    index = len(numbers)
    while index:
        index -= 1
        closeNumber(numbers[index])


def endChild(pid: int) -> None:
    """Kill our child `pid`, which nobody can be told of, and wait for its end; as long as there is no memory, again."""
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
    """Have each number of `wanted` stand here for what the child is to find there.

    Returned are the (source, number) that the child must move itself, because the number is in use here. No source is
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
    """What the child must do itself before exec, if anything."""
    if not moves and not terminal:
        return None

    def prepare() -> None:
        for source, number in moves:
            os.dup2(source, number)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return prepare


def _identity(uid: int | None, gid: int | None) -> dict[str, Any]:
    """Popen's arguments for a change of user or group: none of our supplementary groups stays with the child."""
    if uid is None and gid is None:
        return {}
    user = os.geteuid() if uid is None else uid
    group = os.getegid() if gid is None else gid
    try:
        groups = os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a number without a name is in no group but its own
        groups = [group]
    return {"user": user, "group": group, "extra_groups": groups}
