from __future__ import annotations

import copy
import gc
import io
import pickle
import sys
import traceback
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest
from twisted.python import failure as theirs

from reactor import failure as ours
from reactor.failure import Failure, NoCurrentExceptionError

MODULES = (ours, theirs)


class Trouble(ValueError):
    pass


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise KeyError("no words")


class Text:
    """Its repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no picture")


def fall(depth: int, error: BaseException) -> None:
    marker = f"depth {depth}"
    if depth:
        fall(depth - 1, error)
    raise error.with_traceback(None) if marker else error


def caught(module: Any, error: BaseException, **options: Any) -> Any:
    try:
        fall(2, error)
    except BaseException:
        return module.Failure(**options)


def bothSay(ask: Callable[[Any], object], make: Callable[[Any], Any]) -> object:
    """Ask the same of our failure and Twisted's; the answers must agree but for the name of the class."""
    our, their = (ask(make(module)) for module in MODULES)
    if isinstance(their, str):
        their = their.replace("twisted.python.failure.", "reactor.failure.")
    assert our == their
    return our


def test_currentException() -> None:
    error = Trouble("x")
    failure: Any = caught(ours, error)
    assert failure.value is error
    assert failure.type is Trouble
    assert failure.tb is error.__traceback__
    assert failure.pickled == 0
    assert isinstance(failure, BaseException)


def test_noCurrentException() -> None:
    for module in MODULES:
        with pytest.raises(module.NoCurrentExceptionError):
            module.Failure()


def test_given() -> None:
    error = Trouble("x")
    failure = Failure(error)
    assert (failure.value, failure.type, failure.tb, failure.frames) == (error, Trouble, None, [])
    tb = caught(ours, KeyError()).tb
    failure = Failure(error, ValueError, tb)
    assert (failure.value, failure.type, failure.tb) == (error, ValueError, tb)
    # Without a value, the other arguments do not count.
    assert caught(ours, error, exc_type=KeyError, exc_tb=tb).type is Trouble


def test_notAnException() -> None:
    assert bothSay(
        lambda f: (f.value, f.type, f.getErrorMessage(), f.check(str), f.parents), lambda m: m.Failure("text")
    )
    with pytest.raises(AttributeError):
        Failure("text").raiseException()


def test_numbered() -> None:
    first, second = Failure(Trouble()), Failure(Trouble())
    assert second.count > first.count


def test_ofAFailure() -> None:
    first = caught(ours, Trouble("x"), captureVars=True)
    again = Failure(first)
    assert (again.value, again.type, again.tb, again.count) == (first.value, first.type, first.tb, first.count)
    assert again.frames == first.frames
    first.cleanFailure()
    assert Failure(first).frames == first.frames
    assert Failure(first).pickled == 1


def test_raised() -> None:
    """`raise failure` is caught as a Failure, and is the original to code that wraps it again."""
    first = caught(ours, Trouble("x"))
    with pytest.raises(Failure) as info:
        raise first
    assert info.value is first
    try:
        raise first
    except Failure:
        assert Failure().value is first.value


@pytest.mark.parametrize(
    "arguments",
    [
        (Trouble,),
        (ValueError,),
        (KeyError,),
        (KeyError, Exception, ValueError),
        ("test_failure.Trouble",),
        ("tests.unit.test_failure.Trouble",),
        ("builtins.ValueError", KeyError),
        ("builtins.BaseException",),
        (BaseException,),
        ("Trouble",),
        (object,),
        (),
        (3,),
    ],
)
@pytest.mark.parametrize("error", [Trouble("x"), KeyboardInterrupt(), SystemExit(1)])
def test_check(arguments: tuple[Any, ...], error: BaseException) -> None:
    bothSay(lambda f: f.check(*arguments), lambda m: m.Failure(error))


def test_checkByClass() -> None:
    failure = Failure(Trouble("x"))
    assert failure.check(KeyError, ValueError, Exception) is ValueError
    assert failure.check(KeyError) is None
    assert failure.check("builtins.ValueError") == "builtins.ValueError"
    assert Failure(KeyboardInterrupt()).check(KeyboardInterrupt) is KeyboardInterrupt
    assert Failure(KeyboardInterrupt()).check(BaseException) is None


def test_checkGoesByName() -> None:
    twin = type("Trouble", (Exception,), {"__module__": Trouble.__module__})
    assert bothSay(lambda f: f.check(twin) is twin, lambda m: m.Failure(Trouble()))


def test_trap() -> None:
    failure = caught(ours, Trouble("x"))
    assert failure.trap(KeyError, ValueError) is ValueError
    with pytest.raises(Trouble) as info:
        failure.trap(KeyError)
    assert info.value is failure.value
    assert [each.name for each in info.traceback][-3:] == ["fall", "fall", "fall"]


def test_raiseException() -> None:
    failure = caught(ours, Trouble("x"))
    failure.value.__traceback__ = None
    with pytest.raises(Trouble) as info:
        failure.raiseException()
    assert [each.name for each in info.traceback][-3:] == ["fall", "fall", "fall"]


def test_throwIntoGenerator() -> None:
    def generator() -> Generator[int, None, str]:
        try:
            yield 1
        except Trouble as error:
            yield error.args[0]
        return "end"

    steps = generator()
    next(steps)
    failure = caught(ours, Trouble(7))
    assert failure.throwExceptionIntoGenerator(steps) == 7
    with pytest.raises(Trouble):
        failure.throwExceptionIntoGenerator(steps)


@pytest.mark.parametrize("detail", ["default", "brief", "verbose"])
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("captureVars", [False, True])
@pytest.mark.parametrize("error", [Trouble("some text"), Trouble(b"\xff", 3), KeyboardInterrupt()])
@pytest.mark.parametrize("frames", [True, False])
def test_texts(detail: str, clean: bool, captureVars: bool, error: BaseException, frames: bool) -> None:
    def make(module: Any) -> Any:
        error.__traceback__ = None
        failure = caught(module, error, captureVars=captureVars) if frames else module.Failure(error)
        failure.count = 5
        if clean:
            failure.cleanFailure()
        return failure

    # Variables are compared only as far as they are the same in both runs.
    def comparable(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("  ") or line.startswith("  marker")]

    bothSay(lambda f: comparable(f.getTraceback(detail=detail)), make)
    if not captureVars:
        text = bothSay(lambda f: f.getTraceback(detail=detail), make)
        assert isinstance(text, str)
        assert ("fall" in text) == frames
    bothSay(str, make)
    bothSay(repr, make)
    bothSay(lambda f: f.getErrorMessage(), make)
    bothSay(lambda f: f.getBriefTraceback(), make)


def test_capturedVariables() -> None:
    failure = caught(ours, Trouble("x"), captureVars=True)
    assert dict(failure.frames[-1][3])["marker"] == "depth 0"
    assert "Trouble" in dict(failure.frames[-1][4])
    assert all(name != "__builtins__" for name, _ in failure.frames[-1][4])
    assert caught(ours, Trouble("x")).frames[-1][3:] == ((), ())
    assert failure.stack == []


def test_moduleLevelVariables() -> None:
    """At module level locals are globals, and are told once."""
    scope = {"marker": "here"}
    for module in MODULES:
        try:
            exec("raise KeyError", scope)
        except KeyError:
            failure = module.Failure(captureVars=True)
        assert dict(failure.frames[-1][3])["marker"] == "here"
        assert list(failure.frames[-1][4]) == []


def test_printing(capsys: pytest.CaptureFixture[str]) -> None:
    failure = caught(ours, Trouble("x"))
    failure.printTraceback()
    assert capsys.readouterr().err == failure.getTraceback()
    out = io.StringIO()
    failure.printBriefTraceback(out)
    failure.printDetailedTraceback(out)
    assert out.getvalue() == failure.getTraceback(detail="brief") + failure.getTraceback(detail="verbose")
    with pytest.raises(ValueError, match="detail must be one of default, brief, verbose"):
        failure.getTraceback(detail="loud")


def test_unspeakableErrors() -> None:
    failure = Failure(Unspeakable())
    assert "str raised KeyError" in failure.getErrorMessage()
    assert "str raised KeyError" in failure.getTraceback()
    error = Trouble("x")
    try:
        text = Text()
        raise error
    except Trouble:
        failure = Failure(captureVars=True)
    assert "repr raised RuntimeError" in failure.getTraceback(detail="verbose")
    del text


@pytest.mark.parametrize(("value", "message"), [(b"abc", "abc"), (b"\xff", "b'\\xff'")])
def test_bytesAsValue(value: bytes, message: str) -> None:
    assert bothSay(lambda f: f.getErrorMessage(), lambda m: m.Failure(value)) == message


def test_cleanFailureLetsGo() -> None:
    class Held:
        pass

    def hold() -> Failure:
        held = Held()
        kept.append(weakref.ref(held))
        try:
            raise Trouble("x")
        except Trouble:
            return Failure(captureVars=True)

    kept: list[weakref.ref[Held]] = []
    failure = hold()
    gc.collect()
    assert kept[0]() is not None
    before = [frame[:3] for frame in failure.frames]
    failure.cleanFailure()
    gc.collect()
    assert kept[0]() is None
    assert failure.value.__traceback__ is None
    assert [frame[:3] for frame in failure.frames] == before
    assert "Held object" in dict(failure.frames[-1][3])["held"]  # type: ignore[operator]
    failure.cleanFailure()
    Failure(Trouble()).cleanFailure()


def test_tracebackObject() -> None:
    failure = caught(ours, Trouble("x"), captureVars=True)
    assert failure.getTracebackObject() is failure.tb
    real = traceback.extract_tb(failure.tb)
    failure.cleanFailure()
    standIn = failure.getTracebackObject()
    found = traceback.extract_tb(standIn)
    assert [(each.filename, each.lineno, each.name, each.line) for each in found] == [
        (each.filename, each.lineno, each.name, each.line) for each in real
    ]
    assert standIn is not None
    assert standIn.tb_frame.f_locals["error"] == repr(failure.value)
    assert list(standIn.tb_frame.f_code.co_positions()) == []
    assert Failure(Trouble()).getTracebackObject() is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies(duplicate: Callable[[Failure], Failure]) -> None:
    failure = caught(ours, Trouble("x"))
    twin = duplicate(failure)
    assert twin is not failure
    assert twin.getTraceback() == failure.getTraceback()
    assert twin.check(Trouble) is Trouble
    assert twin.value.args == ("x",)
    assert (twin.tb, twin.pickled, twin.count) == (None, 1, failure.count)


def test_parents() -> None:
    assert bothSay(lambda f: f.parents, lambda m: m.Failure(Trouble())) == [
        f"{Trouble.__module__}.Trouble",
        "builtins.ValueError",
        "builtins.Exception",
        "builtins.BaseException",
        "builtins.object",
    ]


def test_ownAttributes() -> None:
    failure = Failure(Trouble())
    failure.mine = 3  # type: ignore[attr-defined]
    failure.frames = []
    assert Failure(failure).mine == 3  # type: ignore[attr-defined]


def test_noReferenceToCallers() -> None:
    """A failure without a traceback holds its exception and nothing else, and dies with its last reference."""
    gc.disable()
    try:
        error = Trouble()
        failure = Failure(error)
        seen = weakref.ref(failure)
        assert sys.getrefcount(error) <= 4
        del failure
        assert seen() is None
    finally:
        gc.enable()
    assert NoCurrentExceptionError.__module__ == "reactor.failure"
