"""DeferredFilesystemLock: waiting, deadlines, dead owners; it and Twisted's keep each other out."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import twisted.internet.defer
from twisted.python.lockfile import FilesystemLock as TwistedLock
from twisted.python.lockfile import isLocked

import reactor.defer
from reactor import EpollReactor
from reactor.defer import AlreadyTryingToLockError, CancelledError, DeferredFilesystemLock, TimeoutError
from reactor.task import Clock
from tests.support.worlds import OURS

BOTH = pytest.mark.parametrize("module", [reactor.defer, twisted.internet.defer], ids=["ours", "twisted"])


def deadProcess() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "lock")


@BOTH
class TestAsTwistedDoes:
    def waiting(self, module: Any, path: str) -> tuple[Clock, Any, list[Any], Callable[..., Any]]:
        clock, results = Clock(), list[Any]()
        lock = module.DeferredFilesystemLock(path, scheduler=clock)

        def wait(timeout: float | None = None) -> Any:
            return lock.deferUntilLocked(timeout).addBoth(results.append)

        return clock, lock, results, wait

    def test_free(self, module: Any, path: str) -> None:
        clock, lock, results, wait = self.waiting(module, path)
        wait(1)
        assert (results, lock.locked, lock.clean, os.readlink(path)) == ([None], True, True, str(os.getpid()))
        assert clock.getDelayedCalls() == []
        lock.unlock()
        assert not lock.locked
        assert not os.path.lexists(path)

    def test_heldForAWhile(self, module: Any, path: str) -> None:
        """It is tried once a second."""
        clock, lock, results, wait = self.waiting(module, path)
        os.symlink(str(os.getppid()), path)
        wait()
        clock.pump([1, 1, 0.9])
        os.unlink(path)
        assert results == []
        clock.advance(0.1)
        assert (results, lock.locked) == ([None], True)
        lock.unlock()

    def test_tooLate(self, module: Any, path: str) -> None:
        clock, lock, results, wait = self.waiting(module, path)
        os.symlink(str(os.getppid()), path)
        wait(2.5)
        clock.pump([1, 1, 1])
        assert [type(each.value).__name__ for each in results] == ["TimeoutError"]
        assert str(results[0].value) == f"Timed out acquiring lock: {path} after 2.500000s"
        assert clock.getDelayedCalls() == []
        if module is twisted.internet.defer:
            return  # a second time it raises AlreadyCalled
        wait(2.5)
        os.unlink(path)
        clock.advance(1)
        assert results[1] is None
        lock.unlock()

    def test_freeAtTheLastMoment(self, module: Any, path: str) -> None:
        clock, lock, results, wait = self.waiting(module, path)
        os.symlink(str(os.getppid()), path)
        wait(0.5)
        os.unlink(path)
        clock.advance(0.5)
        assert results == [None]
        assert clock.getDelayedCalls() == []
        lock.unlock()

    def test_givenUp(self, module: Any, path: str) -> None:
        clock, _, results, wait = self.waiting(module, path)
        os.symlink(str(os.getppid()), path)
        wait(9).cancel()
        assert [type(each.value).__name__ for each in results] == ["CancelledError"]
        assert clock.getDelayedCalls() == []

    def test_twiceAtATime(self, module: Any, path: str) -> None:
        clock, lock, results, wait = self.waiting(module, path)
        os.symlink(str(os.getppid()), path)
        wait()
        wait()
        assert [type(each.value).__name__ for each in results] == ["AlreadyTryingToLockError"]
        os.unlink(path)
        clock.advance(1)
        assert results[1] is None
        lock.unlock()

    def test_aDeadOwner(self, module: Any, path: str) -> None:
        _, lock, results, wait = self.waiting(module, path)
        os.symlink(str(deadProcess()), path)
        wait()
        assert (results, lock.clean, os.readlink(path)) == ([None], False, str(os.getpid()))
        lock.unlock()

    def test_unlockOfAnothers(self, module: Any, path: str) -> None:
        _, lock, *_ = self.waiting(module, path)
        with pytest.raises(FileNotFoundError):
            lock.unlock()
        os.symlink(str(os.getppid()), path)
        with pytest.raises(ValueError, match="not owned by this process"):
            lock.unlock()


def test_eachKeepsTheOtherOut(path: str) -> None:
    ours, theirs = DeferredFilesystemLock(path, Clock()), TwistedLock(path)
    assert ours.lock()
    assert isLocked(path)
    assert not theirs.lock()
    ours.unlock()
    assert theirs.lock()
    assert not ours.lock()
    theirs.unlock()


def test_whatTheSystemRefuses(tmp_path: pathlib.Path) -> None:
    """It fails the Deferred, at once and later."""
    clock, results = Clock(), list[Any]()
    lock = DeferredFilesystemLock(tmp_path / "none" / "lock", clock)
    lock.deferUntilLocked(3).addErrback(results.append)
    (tmp_path / "some").mkdir()
    lock = DeferredFilesystemLock(tmp_path / "some" / "lock", clock)
    os.symlink(str(os.getppid()), lock.name)
    lock.deferUntilLocked(3).addErrback(results.append)
    os.unlink(lock.name)
    os.rmdir(tmp_path / "some")
    clock.advance(1)
    assert [each.type for each in results] == [FileNotFoundError] * 2
    assert clock.getDelayedCalls() == []


def test_oneTakesOverAtATime(path: str) -> None:
    """A taker that finds another at it waits for the next try: the other's new lock must not pass for the dead one."""
    lock = DeferredFilesystemLock(path, Clock())
    os.symlink(str(deadProcess()), path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    assert not lock.lock()
    os.close(directory)
    assert lock.lock()
    lock.unlock()


def test_manyTakersOfADeadOne(path: str) -> None:
    """Of many at once, one has it, and no one removes it."""
    for _ in range(20):
        os.symlink(str(deadProcess()) if _ == 0 else "4194305", path)  # no process has a number above 2**22
        locks = [DeferredFilesystemLock(path, Clock()) for _ in range(8)]
        gate, got = threading.Barrier(len(locks)), list[Any]()

        def take(lock: Any, gate: Any = gate, got: Any = got) -> None:
            gate.wait()
            if lock.lock():
                got.append(lock)

        threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        assert os.readlink(path) == str(os.getpid())
        got[0].unlock()


def test_theReactorsTime(path: str) -> None:
    """Without a scheduler it is the current reactor's."""
    loop = EpollReactor()
    locks: list[Any] = []

    def wait() -> None:
        locks.append(DeferredFilesystemLock(path))
        locks[0].deferUntilLocked().addCallback(lambda _: loop.stop())

    loop.callWhenRunning(wait)
    loop.run(installSignalHandlers=False)
    assert locks[0]._scheduler is loop
    locks[0].unlock()
    OURS.close(loop)


def test_names() -> None:
    assert (AlreadyTryingToLockError.__mro__[1], CancelledError.__module__) == (Exception, "reactor.defer")
    assert issubclass(TimeoutError, Exception)
