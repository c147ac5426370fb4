"""Lets system calls fail in the scenes of a server, one call after the other. Prints what went wrong.

Run in a process of its own, with failing.c loaded: `python -m tests.battery.systemcalls LOOP STEP [SCENE...]`. A scene
is watched first, to see what it calls. A point is then one call of it with one errno that can occur there. The call
fails once, six times in a row, or, where the system is like that, for a time.
"""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from errno import (
    EAGAIN,
    ECONNABORTED,
    EINTR,
    EIO,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ENOSPC,
    EPERM,
)
from signal import SIGKILL
from typing import Any, NamedTuple

from reactor.transports import datagram, listening
from reactor.transports.children import process
from tests.battery.callscenes import SCENES, signals, stopListening
from tests.battery.callserver import BROKEN, DONE, FAILED, Hang, Server
from tests.battery.failing import FOR_A_TIME, OF_LIBUV, WHILE, Fault, Faults
from tests.conftest import openFiles
from tests.support.worlds import LOOPS

ROW = 6
SKIPS = 6  # how many of the same call in one scene are failed, each in its turn
SPIN = 60  # failures of a call in WHILE seconds that are no spin
ACCEPTS = 450  # but a port tries a batch each time: a connection may have failed, and the next not
MOST_POLLS = 1000  # of one scene: a loop that spins makes many thousands
# epoll refuses a regular file with EPERM. It can be read at any time, so the loop does not rest while it is open.
MOST_POLLS_OF_FILES = 5000

# The errors that a call can fail with. An error that is left out cannot occur, or Linux's manual says nothing of it.
ERRORS: dict[str, tuple[int, ...]] = {
    "accept4": (EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM, EINTR, EAGAIN, EIO),
    "recv": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EIO),
    "recvfrom": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EIO),
    "recvmsg": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EIO),
    "send": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EPERM, EIO),
    "sendto": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EPERM, EIO),
    "sendmsg": (EAGAIN, EINTR, ENOMEM, ENOBUFS, EPERM, EIO),
    "read": (EAGAIN, EINTR, EIO, ENOMEM),
    "write": (EAGAIN, EINTR, EIO, ENOMEM, ENOSPC),
    "epoll_ctl": (ENOMEM, ENOSPC, EPERM),
    "epoll_wait": (EINTR, ENOMEM),
    "epoll_create1": (EMFILE, ENFILE, ENOMEM),
    "poll": (EINTR, ENOMEM),
    "socket": (EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM),
    "socketpair": (EMFILE, ENFILE, ENOMEM),
    "connect": (EINTR, EAGAIN, ENOBUFS, ENOMEM, EPERM, ECONNABORTED),
    "bind": (ENOMEM, EPERM, ENOSPC, EIO),
    "listen": (ENOMEM, ENOBUFS),
    "shutdown": (ENOBUFS, ENOMEM),
    "getsockopt": (ENOBUFS, ENOMEM),
    "setsockopt": (ENOBUFS, ENOMEM, EPERM),
    "getsockname": (ENOBUFS, ENOMEM),
    "getpeername": (ENOBUFS, ENOMEM),
    "fcntl": (EMFILE, EINTR, EPERM),
    "ioctl": (ENOMEM, EIO),
    "close": (EINTR, EIO, ENOSPC),
    "open": (EMFILE, ENFILE, ENOMEM, EINTR, EIO, EPERM, ENOSPC),
    "fopen": (EMFILE, ENFILE, ENOMEM, EIO, EPERM),
    "fstat": (ENOMEM, EIO),
    "stat": (ENOMEM, EIO),
    "eventfd": (EMFILE, ENFILE, ENOMEM),
    "pipe2": (EMFILE, ENFILE),
    "dup": (EMFILE, EINTR, EIO),
    "fork": (EAGAIN, ENOMEM),
    "waitpid": (EINTR,),
    "pidfd_open": (EMFILE, ENFILE, ENOMEM),
    "pthread_create": (EAGAIN,),
    "getaddrinfo": (EAGAIN, ENOMEM, EMFILE),
    "kill": (EPERM,),
    "unlink": (ENOMEM, EIO, EPERM),
    "flock": (EINTR, ENOMEM),
    "openpty": (EMFILE, ENFILE, ENOMEM, ENOSPC),
}
# libuv calls abort(3) if its epoll fails it, or the pipe or eventfd by which it wakes itself. Nothing of ours is asked
# before. So these are only interrupted.
OF_LIBUV_ERRORS = {**ERRORS, "epoll_wait": (EINTR,), "epoll_ctl": (), "read": (EINTR,), "write": (EINTR,)}
# A waker is a pair of UNIX sockets: EAGAIN says that it is full, and then it has woken the loop already.
OF_WAKER_ERRORS = (EINTR, ENOMEM, ENOBUFS)

_LASTING = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, EPERM})
_SHORT = frozenset({EAGAIN, EINTR})

# In these scenes "send" is the waker's.
WAKING = frozenset(
    {"wakeUps", "signals", "resolve", "inThread", "connectByName", "spawn", "spawnOnTerminal", "lifecycle"}
)

# Failures that cost nothing at all, for the call is done again, or not needed. (None: whatever the errno.)
FREE: dict[str, frozenset[int] | None] = {
    "accept4": None,
    "recv": _SHORT,
    "recvfrom": _SHORT,
    "recvmsg": _SHORT,
    "send": frozenset({EAGAIN, EINTR, ENOMEM, ENOBUFS}),
    "sendmsg": frozenset({EAGAIN, EINTR, ENOMEM, ENOBUFS}),
    "read": _SHORT,
    "write": _SHORT,
    "epoll_wait": None,
    "poll": None,
    "close": None,
    "waitpid": None,
    "pidfd_open": None,
    "kill": None,
    "shutdown": None,
}
# But for these. A call from a thread, or a look-up, that nobody can be woken for is refused. A client that waits for a
# port that stops is reset if the system has no descriptor for it. CPython's subprocess starts nothing if its own calls
# fail, before the fork or between that and exec.
NOT_FREE = frozenset(
    {
        ("wakeUps", "send"),
        ("resolve", "send"),
        ("connectByName", "send"),
        ("stopListening", "accept4"),
        *((scene, call) for scene in ("spawn", "spawnOnTerminal") for call in ("close", "dup", "read")),
    }
)


# Objects that the reactor owns rest after these, and their rest may not end, as the system refuses that as well.
RESTS = {
    "accept": (Fault("accept4", ENOMEM), Fault("accept4", EMFILE)),
    "acceptUNIX": (Fault("accept4", ENFILE),),
    "datagrams": (Fault("recvfrom", ENOMEM, 0, 2),),
    "datagramsUNIX": (Fault("recvfrom", ENOBUFS, 0, 2),),
    "wakeUps": (Fault("recv", ENOMEM),),
}


class Point(NamedTuple):
    scene: Any
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"{self.scene.__name__}: " + ", ".join(map(_described, self.faults))


def _described(fault: Fault) -> str:
    count = "for a time" if fault.count == FOR_A_TIME else f"{fault.count} times" if fault.count > 1 else "once"
    return f"{fault.call} after {fault.skip} fails {count} with {errno.errorcode[fault.error]}"


def errorsOf(call: str) -> tuple[int, ...]:
    table = OF_LIBUV_ERRORS if call.startswith(OF_LIBUV) else ERRORS
    return table[call.removeprefix(OF_LIBUV)]


def pointsOf(scene: Any, hits: dict[str, int], before: tuple[Fault, ...] = ()) -> Iterator[Point]:
    """Every one of a scene that makes so many of each call; `before`: a fault of another call, that comes as well."""
    for call, count in sorted(hits.items()):
        for error in errorsOf(call):
            if call == "send" and scene.__name__ in WAKING and error not in OF_WAKER_ERRORS:
                continue
            if (scene.__name__, call) == ("signals", "write"):
                continue  # the interpreter's own, in C: if it fails just before the loop sleeps, nobody hears
            for skip in range(min(count, SKIPS)):
                yield Point(scene, (Fault(call, error, skip), *before))
            yield Point(scene, (Fault(call, error, 0, ROW), *before))
            if error in _LASTING:
                yield Point(scene, (Fault(call, error, 0, FOR_A_TIME), *before))


# asyncio's event loop, half made, is closed by its __del__, which misses these.
ASYNCIO_LACKS = frozenset({"_ssock", "_signal_handlers"})


class Records(logging.Handler):
    """Logged errors that are no OSError, nor for want of a thread: our own code has stumbled."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong = list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.look(record.exc_info[1])

    def look(self, error: BaseException) -> None:
        if isinstance(error, (OSError, Hang)) or "start new thread" in str(error):
            return
        where = traceback.extract_tb(error.__traceback__)
        if isinstance(error, AttributeError) and error.name in ASYNCIO_LACKS and "/asyncio/" in where[-1].filename:
            return
        self.wrong.append(f"{error!r} at {[f'{frame.filename[-30:]}:{frame.lineno}' for frame in where[-3:]]}")


class Sweep:
    def __init__(self, name: str, step: int) -> None:
        (self.side,) = [side for side in LOOPS if side.name == name]
        self.step = step
        self.faults = Faults()
        self.server = Server(self.side, self.faults)
        self.found = list[str]()
        self.points = dict[str, int]()
        self.unmet = 0
        self.records = Records()
        logging.getLogger().addHandler(self.records)
        logging.lastResort = None
        logging.captureWarnings(False)
        sys.unraisablehook = lambda seen: self.records.look(seen.exc_value or Exception(seen.err_msg))
        threading.excepthook = lambda seen: self.records.look(seen.exc_value or Exception("in a thread"))

    def sweep(self, scene: Any) -> None:
        self.settle(scene)
        self.faults.prepare()
        assert (found := scene(self.server)) == DONE, f"{scene.__name__}, without a fault: {found}"
        points = list(pointsOf(scene, self.faults.hits()))
        for fault in RESTS.get(scene.__name__, ()):
            points += pointsOf(scene, {"epoll_ctl": 2, "epoll_wait": 2, "poll": 1}, (fault,))
        self.files = self.open()
        for point in points[len(scene.__name__) % self.step :: self.step]:
            before = self.unmet
            self.judge(point)
            self.points[scene.__name__] = self.points.get(scene.__name__, 0) + 1 - (self.unmet - before)

    def settle(self, scene: Any) -> None:
        """Imports and caches are not what a scene is about."""
        self.faults.prepare()
        for _ in range(2):
            assert (found := scene(self.server)) == DONE, f"{scene.__name__}, without a fault: {found}"
        assert self.server.isHealthy() is None

    def open(self) -> int:
        with self.faults.exempt():
            return len(openFiles())

    def judge(self, point: Point) -> None:
        self.faults.prepare(*point.faults)
        result = point.scene(self.server)
        failed, polls = self.faults.failed(), self.polls()
        wrong = []
        if not failed:
            self.unmet += 1
        if result == FAILED and _isFree(point.scene.__name__, point.faults[0]):
            wrong.append("it has cost the operation")
        elif result not in (DONE, FAILED, BROKEN):
            wrong.append(result)
        most = self.most(point) * max(1.0, self.faults.lasted / WHILE)
        mostPolls = MOST_POLLS_OF_FILES if point.faults[0].error == errno.EPERM else MOST_POLLS
        isSpinning = (point.faults[0].count == FOR_A_TIME and failed > most) or polls > mostPolls
        if isSpinning and not self.spinsBelow(point):
            wrong.append(f"it spins: {failed} failures, {polls} polls")
        if (ill := self.server.isHealthy()) is not None:
            wrong.append(f"afterwards, {ill}")
        if result == BROKEN:
            self.files = self.open()
        wrong += self.left()
        self.found += [f"{point}: {each}" for each in wrong]
        if ill is not None or result.startswith(("it hangs", "run() was")):
            self.server = Server(self.side, self.faults)
            self.settle(point.scene)
            self.files = self.open()

    @staticmethod
    def most(point: Point) -> int:
        """How often the call may be met in WHILE seconds."""
        if point.faults[0].call != "accept4":
            return SPIN
        return listening.ACCEPT_LAST if point.scene is stopListening else ACCEPTS

    def spinsBelow(self, point: Point) -> bool:
        """Whether it is uvloop that spins: it reads, at once again, the pair of sockets by which signals wake it."""
        return self.side.name == "uvloop" and point.scene is signals and point.faults[0].call == "recv"

    def polls(self) -> int:
        hits = self.faults.hits()
        return hits.get("epoll_wait", 0) + hits.get(OF_LIBUV + "epoll_wait", 0)

    def left(self) -> Iterator[str]:
        wrong, self.records.wrong = self.records.wrong, []
        yield from wrong
        with self.faults.exempt():
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                yield "a zombie is left" if pid else "a child is left"
                for pid in children():
                    os.kill(pid, SIGKILL)
                    os.waitpid(pid, 0)
            except ChildProcessError:
                pass
        if self.open() > self.files:
            gc.collect()
            if (now := self.open()) > self.files:
                yield f"descriptors are left, {now - self.files}"
                self.files = now


def children() -> list[int]:
    tasks = os.listdir("/proc/self/task")
    return [int(pid) for task in tasks for pid in open(f"/proc/self/task/{task}/children").read().split()]


def _isFree(scene: str, fault: Fault) -> bool:
    call = fault.call.removeprefix(OF_LIBUV)
    if (scene, call) in NOT_FREE:
        return False
    if call not in FREE:
        return fault.error == EINTR
    errors = FREE[call]
    return errors is None or fault.error in errors


def main(name: str, step: int, *names: str) -> None:
    listening.ACCEPT_REST = datagram.RECEIVE_REST = process.WAIT_REST = 0.01  # so that a row of them is no long wait
    sweep = Sweep(name, step)
    for scene in SCENES:
        if not names or scene.__name__ in names:
            sweep.sweep(scene)
    print(json.dumps({"points": sweep.points, "unmet": sweep.unmet, "faults": sweep.found}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
