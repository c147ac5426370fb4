"""Child processes made by os.fork() inside a test. None of them runs on into pytest's code, whatever happens in it."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator

from tests.support.worlds import DEADLINE


def fork() -> int:
    """os.fork(), with a child that a signal kills at the deadline. It is to be called inside `childEndsHere`."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest's handler, of the parent, would raise
        signal.alarm(int(DEADLINE))
    return pid


@contextlib.contextmanager
def childEndsHere(right: Callable[[], object] = lambda: True) -> Iterator[None]:
    """A child that the block makes ends with it: with 0 if the block has raised nothing and `right()` is true."""
    parent, code = os.getpid(), 1
    try:
        yield
        if os.getpid() != parent:
            code = 0 if right() else 1
    except BaseException:
        if os.getpid() == parent:
            raise
        traceback.print_exc()
    finally:
        if os.getpid() != parent:
            os._exit(code)


@contextlib.contextmanager
def child(does: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """A child process that does something, then waits until the block ends.

    It waits no longer if the function that the block gets is called. It must have raised nothing.
    """
    done, say = os.pipe()
    wait, release = os.pipe()
    with childEndsHere():
        pid = fork()
        if not pid:
            os.close(release)
            does()
            os.write(say, b"!")
            os.read(wait, 1)
            os._exit(0)
    os.close(say)
    os.close(wait)
    ended: list[int] = []

    def end() -> None:
        if not ended:
            os.close(release)
            ended.append(os.waitpid(pid, 0)[1])

    try:
        os.read(done, 1)
        yield end
    finally:
        end()
        os.close(done)
    assert ended == [0], "the child has failed, see its traceback"


def inChild(does: Callable[[], object]) -> None:
    with child(does):
        pass
