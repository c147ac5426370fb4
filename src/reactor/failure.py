"""Failure: an exception and its traceback as a value that can be stored, passed on and raised again."""

from __future__ import annotations

import itertools
import linecache
import sys
from collections.abc import Callable, Coroutine, Generator
from functools import cached_property
from io import StringIO
from types import SimpleNamespace, TracebackType
from typing import Any, Final, NoReturn, Protocol, TypeAlias, TypeVar, cast

from reactor import _overwritten as _overwritten

ExceptionClass: TypeAlias = type[BaseException]
ErrorT = TypeVar("ErrorT", bound="ExceptionClass | str")
Variables: TypeAlias = "list[tuple[str, object]] | tuple[()]"
FrameInfo: TypeAlias = tuple[str, str, int, Variables, Variables]

_numbers: Final = itertools.count(1)


class NoCurrentExceptionError(Exception):
    """`Failure()` was called while no exception was being handled."""


class Writable(Protocol):
    """Where tracebacks are printed: anything with a `write(str)`."""

    def write(self, text: str, /) -> object: ...


class Failure(BaseException):
    """One error: `value` (the exception), `type` (its class) and `tb` (its traceback, or None).

    `Failure()` in an except block takes the exception that is being handled, or raises NoCurrentExceptionError.
    `Failure(exception)` wraps that exception with its traceback. `Failure(failure)`, or the handling of a raised
    Failure, copies that failure. `exc_type` and `exc_tb` replace the exception's own class and traceback.
    captureVars=True keeps the variables of each frame for printDetailedTraceback. `count` numbers the failures of a
    process.
    """

    __slots__ = ("__weakref__", "captureVars", "count", "tb", "type", "value")

    value: BaseException
    type: ExceptionClass
    tb: TracebackType | None
    captureVars: bool
    count: int
    pickled: int = 0

    # Instances keep their state in slots. Most failures never need the dictionary, so it is made on demand.
    def __init__(
        self,
        exc_value: object = None,
        exc_type: ExceptionClass | None = None,
        exc_tb: TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            exc_type = exc_tb = None
            exc_value = sys.exception()
            if exc_value is None:
                raise NoCurrentExceptionError("no exception is being handled here that Failure() could take")
        self.count = next(_numbers)
        self.captureVars = captureVars
        # An object that is no exception is allowed, as in Twisted. A program can look at it, but not raise it.
        value: Any = exc_value
        self.value = value
        if isinstance(value, Failure):
            self._copyState(value)
            return
        self.type = exc_type or value.__class__
        self.tb = exc_tb or getattr(value, "__traceback__", None)

    def _copyState(self, other: Failure) -> None:
        self.value, self.type, self.tb = other.value, other.type, other.tb
        self.captureVars, self.count = other.captureVars, other.count
        self.__dict__.update(other.__dict__)

    @cached_property
    def frames(self) -> list[FrameInfo]:
        """The frames of the traceback, outermost first: (function, file, line, locals, globals).

        Locals and globals are lists of (name, value), and empty unless the failure was made with captureVars.
        """
        frames: list[FrameInfo] = []
        tb = self.tb
        while tb is not None:
            frame = tb.tb_frame
            local: Variables = ()
            globals_: Variables = ()
            if self.captureVars:
                local = _variables(frame.f_locals)
                if frame.f_locals is not frame.f_globals:
                    globals_ = _variables(frame.f_globals)
            frames.append((frame.f_code.co_name, frame.f_code.co_filename, tb.tb_lineno, local, globals_))
            tb = tb.tb_next
        return frames

    @cached_property
    def parents(self) -> list[Any]:
        """The dotted names of `type` and all its base classes; just [type] if it is not an Exception class."""
        if issubclass(self.type, Exception):
            return [_dottedName(each) for each in self.type.__mro__]
        return [self.type]

    @property
    def stack(self) -> list[FrameInfo]:
        """Always empty; it exists because old code asks for it."""
        return []

    def check(self, *errorTypes: ErrorT) -> ErrorT | None:
        """Return the first of errorTypes that this error is an instance of, or None.

        errorTypes are exception classes or their dotted names ("builtins.ValueError"); matching goes by name. As in
        Twisted, an error outside Exception (KeyboardInterrupt) matches only its own class.
        """
        for error in errorTypes:
            if isinstance(error, type) and issubclass(error, Exception):
                if error in self.type.__mro__ or _dottedName(error) in self.parents:
                    return error
            elif error in self.parents:
                return error
        return None

    def trap(self, *errorTypes: ErrorT) -> ErrorT:
        """Do the same as check, but raise the original exception if none of errorTypes matches."""
        error = self.check(*errorTypes)
        if not error:
            self.raiseException()
        return error

    def raiseException(self) -> NoReturn:
        """Raise the original exception with its traceback."""
        raise self.value.with_traceback(self.tb)

    def throwExceptionIntoGenerator(self, g: Generator[Any, Any, Any] | Coroutine[Any, Any, Any]) -> Any:
        """Throw the original exception into a generator or coroutine; return or raise its result."""
        return g.throw(self.value.with_traceback(self.tb))

    def cleanFailure(self) -> None:
        """Drop every object of the failed frames, and keep the texts. Captured variables become their reprs.

        The exception loses its `__traceback__` too.
        """
        self.__dict__["frames"] = self._cleanFrames()
        self.tb = None
        self.pickled = 1
        if getattr(self.value, "__traceback__", None) is not None:
            self.value.__traceback__ = None

    def _cleanFrames(self) -> list[FrameInfo]:
        return [
            (name, file, line, [(key, safeRepr(each)) for key, each in local], [(k, safeRepr(v)) for k, v in shared])
            for name, file, line, local, shared in self.frames
        ]

    def getTracebackObject(self) -> TracebackType | None:
        """Return the traceback, or a replacement for the traceback module if only `frames` is left, or None."""
        if self.tb is not None:
            return self.tb
        return _standInTraceback(self.frames)

    def getErrorMessage(self) -> str:
        """Return `str(value)`, or a substitute if that raises."""
        return _safeStr(self.value)

    def getBriefTraceback(self) -> str:
        """Return printBriefTraceback's text."""
        return self.getTraceback(detail="brief")

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """Return printTraceback's text."""
        out = StringIO()
        self.printTraceback(out, elideFrameworkCode, detail)
        return out.getvalue()

    def printBriefTraceback(self, file: Writable | None = None, elideFrameworkCode: int = 0) -> None:
        """Print one line for the error and one for each frame."""
        self.printTraceback(file, elideFrameworkCode, "brief")

    def printDetailedTraceback(self, file: Writable | None = None, elideFrameworkCode: int = 0) -> None:
        """Print the frames with their variables, which only captureVars=True keeps."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    def printTraceback(
        self, file: Writable | None = None, elideFrameworkCode: int = 0, detail: str = "default"
    ) -> None:
        """Print Python's own text for this exception to `file` (standard error by default).

        detail is "default", "brief" or "verbose", else ValueError. elideFrameworkCode has no effect.
        """
        if detail not in _FRAME_WRITERS:
            raise ValueError(f"detail must be one of {', '.join(_FRAME_WRITERS)}, not {detail!r}")
        out: Writable = sys.stderr if file is None else file
        if detail == "brief":
            title = "Traceback" if self.frames else "Traceback (failure with no frames)"
            out.write(f"{title}: {_safeStr(self.type)}: {_safeStr(self.value)}\n")
        elif detail == "verbose":
            out.write(f"*--- Failure #{self.count}{' (pickled) ' if self.pickled else ' '}---\n")
        else:
            out.write("Traceback (most recent call last):\n")
        for frame in self.frames:
            _FRAME_WRITERS[detail](out.write, frame, self.captureVars)
        if detail == "brief":
            return
        if not self.frames:
            out.write("Failure: ")
        elif detail == "verbose" and not self.captureVars:
            out.write(" [Capture of Locals and Globals disabled (use captureVars=True)]\n")
        out.write(f"{_dottedName(self.type)}: {_safeStr(self.value)}\n")
        if detail == "verbose":
            out.write(f"*--- End of Failure #{self.count} ---\n")

    def __repr__(self) -> str:
        return f"<{_dottedName(self.__class__)} {_dottedName(self.type)}: {self.getErrorMessage()}>"

    def __str__(self) -> str:
        return f"[Failure instance: {self.getBriefTraceback()}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # A traceback can be neither pickled nor copied; the texts of its frames can.
        state = (self.value, self.type, self.captureVars, self.count, self._cleanFrames())
        return _rebuild, (self.__class__, *state)


def _rebuild(
    failureClass: type[Failure],
    value: BaseException,
    errorType: ExceptionClass,
    captureVars: bool,
    count: int,
    frames: list[FrameInfo],
) -> Failure:
    failure = failureClass.__new__(failureClass)
    failure.value, failure.type, failure.tb = value, errorType, None
    failure.captureVars, failure.count = captureVars, count
    failure.__dict__["frames"] = frames
    failure.pickled = 1
    return failure


def _writeBrief(write: Callable[[str], object], frame: FrameInfo, captured: bool) -> None:
    name, file, line, _, _ = frame
    write(f"{file}:{line}:{name}\n")


def _writeDefault(write: Callable[[str], object], frame: FrameInfo, captured: bool) -> None:
    name, file, line, _, _ = frame
    write(f'  File "{file}", line {line}, in {name}\n')
    write(f"    {linecache.getline(file, line).strip()}\n")


def _writeVerbose(write: Callable[[str], object], frame: FrameInfo, captured: bool) -> None:
    name, file, line, local, shared = frame
    write(f"{file}:{line}: {name}(...)\n")
    if captured:
        for title, variables in ((" [ Locals ]\n", local), (" ( Globals )\n", shared)):
            write(title)
            for key, each in variables:
                write(f"  {key} : {safeRepr(each)}\n")


_FRAME_WRITERS: Final = {"default": _writeDefault, "brief": _writeBrief, "verbose": _writeVerbose}


def _variables(namespace: dict[str, Any]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in namespace.items() if name != "__builtins__"]


def _standInTraceback(frames: list[FrameInfo]) -> TracebackType | None:
    """Return objects with the attributes that `traceback` and `inspect` read, in place of real frames."""
    first: SimpleNamespace | None = None
    last = back = None
    for name, file, line, local, shared in frames:
        code = SimpleNamespace(
            co_name=name,
            co_qualname=name,
            co_filename=file,
            co_firstlineno=0,
            co_flags=0,
            co_argcount=0,
            co_varnames=(),
            co_positions=lambda: iter(()),
        )
        back = SimpleNamespace(
            f_code=code,
            f_lineno=line,
            f_lasti=-1,
            f_locals=dict(local),
            f_globals=dict(shared),
            f_builtins={},
            f_trace=None,
            f_back=back,
        )
        # tb_lasti -1 means that the position within the line is not known.
        link = SimpleNamespace(tb_frame=back, tb_lineno=line, tb_lasti=-1, tb_next=None)
        if last is None:
            first = link
        else:
            last.tb_next = link
        last = link
    return cast("TracebackType | None", first)


def _dottedName(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def safeRepr(thing: object) -> str:
    """Return repr(thing), or a substitute if that raises."""
    return _safely(repr, thing)


def _safeStr(thing: object) -> str:
    if isinstance(thing, bytes):
        try:
            return thing.decode()
        except UnicodeDecodeError:
            return repr(thing)
    return _safely(str, thing)


def _safely(convert: Callable[[object], str], thing: object) -> str:
    """An error report must not fail because the error cannot describe itself."""
    try:
        return convert(thing)
    except BaseException as error:
        return f"<{type(thing).__name__} at 0x{id(thing):x}: {convert.__name__} raised {type(error).__name__}>"


_noMemory: Final = Failure(MemoryError("there was no memory to tell what has failed"))


def failureOf(error: BaseException) -> Failure:
    """Return a Failure of `error`, or an existing one if there is no memory for another."""
    try:
        return Failure(error)
    except MemoryError:
        return _noMemory
