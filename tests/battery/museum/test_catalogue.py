"""The catalogue and the exhibits agree: each number has either an exhibit or a reason."""

from __future__ import annotations

import ast
import pathlib
import re
from collections import Counter

from tests.battery.museum.catalogue import FAULTS, KINDS, REASONS, UNMAPPED, Reason
from tests.battery.museum.halls import isLinear
from tests.support.worlds import ROOT

HERE = pathlib.Path(__file__).parent
PACKAGE = ROOT / "src" / "reactor"
EXHIBIT = re.compile(r"test_((?:CVE|GHSA|GLSA|gh|twisted|uvloop|aiohttp|haproxy)_\w+)")
DEFINED = re.compile(r"^\s*(?:cdef |async )?(?:class|def) (\w+)", re.MULTILINE)
MAKERS = {f"re.{name}" for name in ("compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer")}
PATTERN_IN_CODE = re.compile(r"^ .*\bre\.[a-z]+\(", re.MULTILINE)
SENTENCE = 25  # words

NUMBERS = [fault.number for fault in FAULTS]
REASONED = {number: reason for reason, numbers in REASONS.items() for number in numbers}


def exhibits() -> dict[str, str | None]:
    """The description of each exhibit, by the name behind "test_"."""
    found: dict[str, str | None] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and (match := EXHIBIT.fullmatch(node.name)):
                assert match[1] not in found, f"two exhibits of {match[1]}"
                found[match[1]] = ast.get_docstring(node)
    return found


def nameOf(number: str) -> str:
    return re.sub(r"[-.]", "_", number)


def wordsOf(text: str) -> set[str]:
    """The words of a name, in camel case or with underscores: their letters, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*", text)}


def namesOfPackage() -> set[str]:
    """The words in the names of the package's files, classes and functions."""
    found: set[str] = set()
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("*.pyx")]:
        found.update(*(wordsOf(part) for part in path.relative_to(PACKAGE.parent).with_suffix("").parts))
        found.update(*map(wordsOf, DEFINED.findall(path.read_text())))
    return found


def test_eachNumberIsAnExhibitOrHasAReason() -> None:
    assert [number for number, count in Counter(NUMBERS).items() if count > 1] == []
    assert {fault.kind for fault in FAULTS} == set(KINDS)
    shown, numbers = exhibits(), {nameOf(number): number for number in NUMBERS}
    assert len(numbers) == len(NUMBERS) > 100
    assert set(shown) | {nameOf(number) for number in REASONED} == set(numbers)
    assert [number for name, number in numbers.items() if name in shown and number in REASONED] == []


def test_eachExhibitSaysWhatTheFaultWas() -> None:
    for name, description in exhibits().items():
        assert description, name
        assert len(description.split()) <= 2 * SENTENCE, name


def test_theUnmappedNumbersHaveTheirTickets() -> None:
    for numbers, tickets in UNMAPPED.items():
        assert len(numbers) == len(tickets) == len(set(tickets))
        assert set(tickets) <= set(NUMBERS)
        assert not set(numbers) & set(NUMBERS)


def test_theReasonsHold() -> None:
    """A package that begins to speak one of these protocols needs its exhibits."""
    words = namesOfPackage()
    assert {"epoll", "http", "line", "receiver"} <= words  # the search finds what is there
    assert {reason.text: words & set(reason.words) for reason in REASONS if words & set(reason.words)} == {}
    assert all(isinstance(reason, Reason) and reason.text.endswith(".") for reason in REASONS)


def test_noPatternIsMadeOfWhatAPeerSends() -> None:
    """Twisted's ticket 12787: a client's search became a pattern. Here patterns are made of texts of the package's."""
    made = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if not PATTERN_IN_CODE.search(text := path.read_text()):
            continue
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) not in MAKERS:
                    continue
                if not isinstance(call.args[0], ast.Constant):
                    made.add(path.relative_to(PACKAGE).as_posix())
    # Of a delimiter that the configuration names, and of a module that a program imports; both are escaped.
    assert made == {"serving/collecting/frames.py", "porting/statements.py"}


def test_aContextTellsItsStoreOnlyToItsMaker() -> None:
    """CVE-2024-0397: two threads, one that asks a context for its store, and one in which a handshake fills it."""
    asking = re.compile(r"get_ca_certs|cert_store_stats")
    assert [path.name for path in PACKAGE.rglob("*.py") if asking.search(path.read_text())] == ["tlsoptions.py"]
    source = (PACKAGE / "tlsoptions.py").read_text()
    (maker,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and asking.search(ast.unparse(node))
    )
    callers = [line for line in source.split("\n") if f"{maker.name}(" in line and "def " not in line]
    assert [line.strip() for line in callers] == [f"{maker.name}(context)"]  # right behind load_default_certs
    assert "load_default_certs()\n        " + callers[0].strip() in source


def test_theMeasureTellsASquareFromALine() -> None:
    def work(count: int, square: bool) -> None:
        for _ in range(count):
            bytes(count * 200 if square else 2000)

    assert isLinear(int, lambda count: work(count, square=False), 1000)
    assert not isLinear(int, lambda count: work(count, square=True), 200)
