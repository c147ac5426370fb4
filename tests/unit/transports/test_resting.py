"""Rest alone: it ends, whatever is raised at its end, and it ends once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reactor.failure import Failure
from reactor.task import Clock
from reactor.transports.resting import Rest


class Timed(Clock):
    """A Clock that can have no memory for a call, and keeps what is to be flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.hasMemory = True
        self.toFlush: list[Any] = []

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if not self.hasMemory:
            raise MemoryError
        return super().callLater(delay, callable, *args, **kw)

    def flushSoon(self, rest: Any) -> None:
        self.toFlush.append(rest)


class Owner:
    """Rests; what its resumption raises is in `errors`, first in, first out."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = [*errors]
        self.reactor = Timed()
        self.rest = Rest(self.reactor, 1.0)
        self.resumed = 0
        self.failures: list[Failure] = []
        self.again: Callable[[Failure], None] = self.takeAnother

    def take(self) -> None:
        self.rest.take(self.resume, lambda failure: self.again(failure))

    def resume(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.resumed += 1

    def takeAnother(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.take()


def test_itEndsOnce() -> None:
    owner = Owner()
    owner.take()
    owner.take()
    assert owner.rest
    assert len(owner.reactor.getDelayedCalls()) == 1
    owner.reactor.advance(1)
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


def test_whatItsEndRaisesTakesAnother() -> None:
    error = OSError("no memory")
    owner = Owner(error, error)
    owner.take()
    for resumed in (0, 0, 1):
        owner.reactor.advance(1)
        assert owner.resumed == resumed
        assert bool(owner.rest) is not bool(resumed)
    assert [failure.value for failure in owner.failures] == [error, error]
    assert owner.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_whatLeavesTheProgramPassesThrough(error: BaseException) -> None:
    """And the owner is not deaf, should the program go on."""
    owner = Owner(error)
    owner.take()
    with pytest.raises(type(error)):
        owner.reactor.advance(1)
    assert owner.failures == []
    owner.reactor.advance(1)
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


def test_takingAnotherRaises() -> None:
    """A second exception in one place: the end comes all the same, a rest later."""

    def again(failure: Failure) -> None:
        raise ValueError("the second")

    owner = Owner(OSError("the first"))
    owner.again = again
    owner.take()
    with pytest.raises(ValueError, match="the second"):
        owner.reactor.advance(1)
    owner.reactor.advance(1)
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


@pytest.mark.parametrize("raises", [False, True])
def test_cancelledWhileItEnds(raises: bool) -> None:
    """By its owner, which is being resumed: it stays cancelled."""
    owner = Owner()
    real = owner.resume

    def resume() -> None:
        real()
        owner.rest.cancel()
        if raises:
            raise KeyboardInterrupt

    owner.rest.take(resume, owner.takeAnother)
    if raises:
        with pytest.raises(KeyboardInterrupt):
            owner.reactor.advance(1)
    else:
        owner.reactor.advance(1)
    owner.reactor.advance(10)
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


def test_takenWhileItEnds() -> None:
    """By its owner, which the system refuses something else at once: that rest lasts as long as any."""
    owner = Owner()
    owner.rest.take(owner.take, owner.takeAnother)
    owner.reactor.advance(1)
    assert owner.rest
    assert len(owner.reactor.getDelayedCalls()) == 1
    owner.reactor.advance(0.5)
    assert owner.resumed == 0
    owner.reactor.advance(0.5)
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


def test_noMemoryToTimeIt() -> None:
    """It ends with the turn; and again, as long as its owner cannot be resumed."""
    owner = Owner(OSError("no memory either"))
    owner.reactor.hasMemory = False
    owner.take()
    assert owner.rest
    assert owner.reactor.toFlush == [owner.rest]
    owner.reactor.toFlush.pop().flush()
    assert (owner.resumed, bool(owner.rest), len(owner.failures)) == (0, True, 1)
    assert owner.reactor.toFlush == [owner.rest]
    owner.reactor.hasMemory = True
    owner.reactor.toFlush.pop().flush()
    assert (owner.resumed, bool(owner.rest), owner.reactor.getDelayedCalls()) == (1, False, [])


def test_oneThatIsTimedIsNotFlushed() -> None:
    owner = Owner()
    owner.take()
    owner.rest.flush()
    assert (owner.resumed, bool(owner.rest)) == (0, True)
    owner.rest.cancel()
    owner.rest.cancel()
    assert (bool(owner.rest), owner.reactor.getDelayedCalls()) == (False, [])
    owner.rest.flush()
    assert owner.resumed == 0


def test_aRestThatCouldNotBeTakenIsTold(caplog: pytest.LogCaptureFixture) -> None:
    Owner().rest.failConnection(Failure(MemoryError("nothing left")))
    assert [record.getMessage() for record in caplog.records] == ["a rest could not be taken: nothing left"]


def test_aRestThatCannotBeTakenIsNone() -> None:
    """Without memory for a deadline, and for another turn, it raises. The next rest is not taken for a second one."""
    owner = Owner()
    owner.reactor.hasMemory = False
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner.reactor, "flushSoon", raiseMemoryError)
        with pytest.raises(MemoryError):
            owner.take()
    assert not owner.rest
    owner.take()
    assert owner.rest
    assert owner.reactor.toFlush == [owner.rest]
    owner.rest.flush()
    assert owner.resumed == 1


def test_anEndThatFailsWithoutMemoryIsTriedAgainInTheNextTurn() -> None:
    """Neither a deadline nor the next rest: the turn after that resumes the owner."""
    owner = Owner(MemoryError())
    owner.again = raiseMemoryError
    owner.reactor.hasMemory = False
    owner.take()
    with pytest.raises(MemoryError):
        owner.rest.flush()
    owner.rest.failConnection(Failure(MemoryError()))
    assert owner.reactor.toFlush == [owner.rest, owner.rest]
    owner.rest.flush()
    assert owner.resumed == 1


def raiseMemoryError(_: object) -> None:
    raise MemoryError
