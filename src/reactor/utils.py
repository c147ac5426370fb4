"""The output or the exit code of a child process as a Deferred, as in twisted.internet.utils.

The child's output is kept in memory, without a bound. The functions are for the thread that runs the reactor. Their
parameters are those of spawnProcess, but `args` leaves out the program's own name. OSError if the child cannot be
started.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reactor import _current
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.interfaces import NO_ENVIRONMENT, Environment, IReactorProcess, Text
from reactor.protocol import ProcessProtocol


class UnexpectedErrorOutput(OSError):
    """The child wrote `text`, bytes, to its standard error. `processEnded`: a Deferred that fails with its end."""

    def __init__(self, text: bytes, processEnded: Deferred[None]) -> None:
        super().__init__(f"got stderr: {text!r}")
        self.processEnded = processEnded


class _OutputCollector(ProcessProtocol):
    """Collects standard output, and with `errorToo` standard error too."""

    def __init__(self, errorToo: bool) -> None:
        self.deferred: Deferred[bytes] = Deferred()
        self.ended: Deferred[None] | None = None
        self.errorToo = errorToo
        self.output: list[bytes] = []

    def outReceived(self, data: bytes) -> None:
        self.output.append(data)

    def errReceived(self, data: bytes) -> None:
        if self.errorToo:
            self.output.append(data)
        elif self.ended is None:
            self.ended = Deferred()
            self.transport.loseConnection()
            self.deferred.errback(Failure(UnexpectedErrorOutput(data, self.ended)))

    def processEnded(self, reason: Failure) -> None:
        if self.ended is None:
            self.deferred.callback(b"".join(self.output))
        else:
            self.ended.errback(reason)


class _ValueGetter(ProcessProtocol):
    def __init__(self) -> None:
        self.deferred: Deferred[int | None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.deferred.callback(getattr(reason.value, "exitCode", None))


class _EverythingGetter(ProcessProtocol):
    def __init__(self, stdinBytes: bytes | None) -> None:
        self.deferred: Deferred[tuple[bytes, bytes, int]] = Deferred()
        self.stdinBytes = stdinBytes
        self.output: dict[int, list[bytes]] = {1: [], 2: []}

    def connectionMade(self) -> None:
        if self.stdinBytes is not None:
            self.transport.write(self.stdinBytes)
            self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output[childFD].append(data)

    def processEnded(self, reason: Failure) -> None:
        out, err = map(b"".join, self.output.values())
        how: Any = reason.value
        if how.signal:
            self.deferred.errback(Failure((out, err, how.signal)))
        else:
            self.deferred.callback((out, err, how.exitCode))


def _spawn(
    reactor: IReactorProcess | None,
    protocol: ProcessProtocol,
    executable: Text,
    args: Sequence[Text],
    env: Environment | None,
    path: Text | None,
) -> None:
    (reactor or _current.current()).spawnProcess(protocol, executable, (executable, *args), env, path)


def getProcessOutput(
    executable: Text,
    args: Sequence[Text] = (),
    env: Environment | None = NO_ENVIRONMENT,
    path: Text | None = None,
    reactor: IReactorProcess | None = None,
    errortoo: bool | int = False,
) -> Deferred[bytes]:
    """Return a Deferred of the child's standard output, and with `errortoo` of its standard error too.

    Without `errortoo`, it fails with UnexpectedErrorOutput if the child writes to standard error. The exit code does
    not matter.
    """
    collector = _OutputCollector(bool(errortoo))
    _spawn(reactor, collector, executable, args, env, path)
    return collector.deferred


def getProcessValue(
    executable: Text,
    args: Sequence[Text] = (),
    env: Environment | None = NO_ENVIRONMENT,
    path: Text | None = None,
    reactor: IReactorProcess | None = None,
) -> Deferred[int | None]:
    """Return a Deferred of the child's exit code, or of None if a signal has ended it."""
    getter = _ValueGetter()
    _spawn(reactor, getter, executable, args, env, path)
    return getter.deferred


def getProcessOutputAndValue(
    executable: Text,
    args: Sequence[Text] = (),
    env: Environment | None = NO_ENVIRONMENT,
    path: Text | None = None,
    reactor: IReactorProcess | None = None,
    stdinBytes: bytes | None = None,
) -> Deferred[tuple[bytes, bytes, int]]:
    """Return a Deferred of (standard output, standard error, exit code).

    `stdinBytes` are the contents of the child's standard input. If a signal has ended the child, the Deferred fails.
    The Failure's value is the tuple (standard output, standard error, signal).
    """
    getter = _EverythingGetter(stdinBytes)
    _spawn(reactor, getter, executable, args, env, path)
    return getter.deferred


Filter = tuple[Sequence[Any], Mapping[str, Any]]


def runWithWarningsSuppressed(suppressedWarnings: Iterable[Filter], f: Callable[..., Any], *a: Any, **kw: Any) -> Any:
    """Return f(*a, **kw), and ignore some warnings meanwhile; if that is a Deferred, until it has fired.

    `suppressedWarnings` are pairs of the arguments of warnings.filterwarnings, by place and by name. The filters are
    the whole process's, as in Twisted.
    """
    filters = []
    for args, kwargs in suppressedWarnings:
        warnings.filterwarnings(*args, **kwargs)
        filters.append(warnings.filters[0])

    def over(result: Any) -> Any:
        for each in filters:
            if each in warnings.filters:
                warnings.filters.remove(each)  # type: ignore[attr-defined]
        return result

    try:
        result = f(*a, **kw)
    except BaseException:
        over(None)
        raise
    return result.addBoth(over) if isinstance(result, Deferred) else over(result)


def suppressWarnings(f: Callable[..., Any], *suppressedWarnings: Filter) -> Callable[..., Any]:
    """Return a function that calls `f` by runWithWarningsSuppressed."""

    @functools.wraps(f)
    def suppressing(*a: Any, **kw: Any) -> Any:
        return runWithWarningsSuppressed(suppressedWarnings, f, *a, **kw)

    return suppressing
