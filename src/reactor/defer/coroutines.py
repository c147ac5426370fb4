"""Runs a generator or a coroutine: waits for each chain that it yields, and sends the result or failure back in."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import CoroutineType, GeneratorType, TracebackType
from typing import Any, Final, TypeAlias

from reactor.defer.chain import CallbackChain, passthru
from reactor.failure import Failure

Steps: TypeAlias = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]

# The exact types first: asking the abstract class is slow.
_STEPS: Final = (CoroutineType, GeneratorType, Coroutine)


class ReturnValue(BaseException):
    """Carries the value of returnValue() out of a generator."""

    def __init__(self, value: object) -> None:
        self.value = value


class Cancelling(Exception):
    """Goes first through the callbacks of a coroutine that is cancelled. No callback of a program sees it."""


def isSteps(thing: object) -> bool:
    """Whether `thing` is a coroutine or a generator."""
    return isinstance(thing, _STEPS)


class Driver:
    """Runs `steps` in `context`, and gives their result or exception to the chain `outcome`.

    Without a context it is a copy of the current one. `outcome` is fresh, and the driver's `cancel` becomes its
    canceller. Other chains that the driver needs are of the same class.
    """

    __slots__ = ("_context", "_early", "_outcome", "_starting", "_steps", "_waitingOn")

    def __init__(self, steps: Steps, outcome: CallbackChain, context: Context | None = None) -> None:
        self._steps = steps
        self._outcome = outcome
        self._context = copy_context() if context is None else context
        self._waitingOn = outcome
        self._starting = False
        self._early: Any = None
        outcome._canceller = self.cancel

    def start(self) -> None:
        """Run up to the first wait."""
        outcome = self._resume(None, None)
        if outcome is not None:
            outcome._runCallbacks()

    def goOn(self, yielded: Any) -> None:
        """Do the same as `start` for steps that the caller has begun, and that have yielded this."""
        outcome = self._resume(None, yielded, True)
        if outcome is not None:
            outcome._runCallbacks()

    def cancel(self, outcome: CallbackChain) -> None:
        """The canceller: cancel the chain that the steps wait for. Their reaction to that is the result."""
        outcome._callbacks.insert(0, (passthru, (), {}, self._cancelAwaited, (), {}))
        outcome.errback(Cancelling())

    def _cancelAwaited(self, cancelling: Failure) -> CallbackChain:
        self._outcome = outcome = type(self._outcome)(self.cancel)
        self._waitingOn.cancel()
        return outcome

    # One frame, not two: an exception's frames keep their callers' frames, with all variables.
    def _resume(self, giver: CallbackChain | None, result: Any, isYielded: bool = False) -> CallbackChain | None:
        """Run the next steps with `result`, the result of the chain that they waited for.

        If it `isYielded`, the steps have just yielded it. Return the chain that has the outcome if the steps have
        ended, else None.
        """
        if self._starting:
            self._starting = False
            self._early = result
            return None
        steps = self._steps
        run = self._context.run
        while True:
            try:
                if isYielded:
                    isYielded = False
                elif isinstance(result, Failure):
                    result = run(steps.throw, result.value.with_traceback(result.tb))
                else:
                    result = run(steps.send, result)
            except StopIteration as stop:
                return self._finish(stop.value)
            except ReturnValue as returned:
                _warnIfForeign(returned.__traceback__, steps)
                return self._finish(returned.value)
            except BaseException:
                # The new Failure refers to this frame, so this frame must not lead to a Failure.
                result = None
                try:
                    return self._finish(Failure(captureVars=self._outcome.debug))
                finally:
                    del self
            if not isinstance(result, CallbackChain):
                if not isSteps(result):
                    continue
                inner = type(self._outcome)()
                Driver(result, inner).start()
                result = inner
            if self._mustWaitFor(result):
                return None
            result, self._early = self._early, None

    def _finish(self, result: Any) -> CallbackChain | None:
        return self._outcome if self._outcome._take(result) else None

    def _mustWaitFor(self, other: CallbackChain) -> bool:
        """Link to the chain that was yielded. Return False if it gave its result at once, in `_early`."""
        self._starting = True
        other._addLink(self._resume)
        if other.called:
            other._runCallbacks()
        if not self._starting:
            return False
        self._starting = False
        self._waitingOn = other
        return True


def _warnIfForeign(trace: TracebackType | None, steps: Steps) -> None:
    """Warn if a function below the generator called returnValue(), not the generator itself."""
    code = getattr(steps, "gi_code", None)
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    if trace is None or trace.tb_next is None or trace.tb_next.tb_next is None:
        return
    leaving = trace
    while trace.tb_next is not None and trace.tb_next.tb_next is not None:
        trace = trace.tb_next
    caller = trace.tb_frame.f_code
    warnings.warn_explicit(
        f"returnValue() in {caller.co_name!r} causing {leaving.tb_frame.f_code.co_name!r} to exit: "
        "only functions decorated with inlineCallbacks should call it",
        DeprecationWarning,
        caller.co_filename,
        trace.tb_lineno,
    )
