"""The floors of the house: a file of src/reactor imports only from rows above its own, and nowhere but at its top."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "src" / "reactor"

# Packages that count as one room. Their files import each other, without a circle, and never the package's face.
PACKAGES = frozenset(
    {
        "reactor.aio",
        "reactor.compat",
        "reactor.defer",
        "reactor.endpoints",
        "reactor.haproxy",
        "reactor.http",
        "reactor.interfaces",
        "reactor.linecore",
        "reactor.policies",
        "reactor.porting",
        "reactor.protocol",
        "reactor.service",
        "reactor.serving",
        "reactor.sinks",
        "reactor.task",
        "reactor.testing",
        "reactor.transports.children",
        "reactor.transports.tls",
        "reactor.transports.unix",
    }
)

# The table of docs/design.md, one row a tuple, from the ground up. A room may import rooms of earlier rows only. Where
# a room needs another of the same floor, the floor has a row more. The floor's number is for the reader.
ROWS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("reactor.loops", "reactor.transports", "reactor._overwritten")),
    (0, ("reactor._faces", "reactor._defaults", "reactor._later", "reactor._views")),
    (
        0,
        (
            "reactor._arguments",
            "reactor._certificates",
            "reactor._gil",
            "reactor._logger",
            "reactor._numbers",
            "reactor.error",
            "reactor.failure",
        ),
    ),
    (0, ("reactor._announcing",)),
    (0, ("reactor._sending",)),
    (0, ("reactor._linebuf",)),
    (0, ("reactor.interfaces", "reactor.linecore")),
    (0, ("reactor.address", "reactor._current", "reactor._closing", "reactor.timers")),
    (1, ("reactor.defer",)),
    (1, ("reactor._beside",)),
    (1, ("reactor.protocol",)),
    (2, ("reactor.linereceiver", "reactor.stringreceivers", "reactor.filesender", "reactor.threads")),
    (2, ("reactor.task", "reactor.policies", "reactor.utils", "reactor.tlsoptions")),
    (2, ("reactor.transports.output", "reactor.transports.sharing", "reactor.transports.resting")),
    (2, ("reactor.transports.shutting",)),
    (2, ("reactor.transports.duplex",)),
    (2, ("reactor.transports.stream",)),
    (2, ("reactor.transports.tls",)),
    (2, ("reactor.transports.starttls",)),
    (2, ("reactor.transports.handover",)),
    (3, ("reactor.haproxy",)),
    (3, ("reactor.http",)),
    (3, ("reactor.transports.listening", "reactor.transports.connecting")),
    (3, ("reactor.transports.datagram", "reactor.transports.binding", "reactor.transports.descriptors")),
    (4, ("reactor.transports.tcp", "reactor.transports.udp", "reactor.transports.children")),
    (4, ("reactor.transports.unix",)),
    (4, ("reactor.transports.tlsports", "reactor.transports.adopting")),
    (5, ("reactor.loops.names", "reactor.loops.signals", "reactor.loops.triggers", "reactor.loops.waker")),
    (5, ("reactor.loops.resolving", "reactor.loops.ownepoll", "reactor.loops.forks")),
    (5, ("reactor.loops.guard", "reactor.loops.guests")),
    (5, ("reactor.loops.waiting",)),
    (5, ("reactor.loops.sockets", "reactor.loops.children", "reactor.loops.workers")),
    (5, ("reactor.loops.base",)),
    (6, ("reactor.loops.epoll", "reactor.loops.asyncioloop", "reactor.stdio", "reactor.aio")),
    (6, ("reactor.endpoints",)),
    (6, ("reactor.processendpoint", "reactor.testing")),
    (7, ("reactor.service",)),
    (7, ("reactor.sinks",)),
    (7, ("reactor._functions",)),
    (7, ("reactor.compat",)),
    (7, ("reactor.porting",)),
    (7, ("reactor.serving",)),
    (7, ("reactor.__main__",)),
    (7, ("reactor",)),
)
ROW = {name: number for number, (_floor, names) in enumerate(ROWS) for name in names}

COMPILED = frozenset({"reactor._announcing", "reactor._sending", "reactor._linebuf"})


def moduleName(path: pathlib.Path) -> str:
    parts = ("reactor", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {moduleName(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = frozenset(PATHS) | COMPILED


def isTypeChecking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def isImportCall(node: ast.AST) -> bool:
    names = ("import_module", "__import__", "later")
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names


def importsOf(node: ast.AST, inFunction: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every import that happens at run time below `node`, and whether it happens inside a function."""
    for child in ast.iter_child_nodes(node):
        if isTypeChecking(child):
            assert isinstance(child, ast.If)
            for branch in child.orelse:
                yield from importsOf(ast.Module([branch], []), inFunction)
            continue
        if isinstance(child, ast.Import | ast.ImportFrom) or isImportCall(child):
            yield child, inFunction
        isFunction = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from importsOf(child, inFunction or isFunction)


def targetsOf(name: str, isPackage: bool, node: ast.AST) -> Iterator[str]:
    """The modules of ours that one import statement of module `name` runs.

    A parent package that it passes through on the way counts only if it is named: `from reactor import defer` names
    reactor.defer alone.
    """
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "reactor")
        return
    if isinstance(node, ast.Call):
        argument = node.args[0] if node.args else None
        if isinstance(argument, ast.Constant) and str(argument.value).split(".")[0] in ("reactor", ""):
            yield str(argument.value)
        return
    assert isinstance(node, ast.ImportFrom)
    package = name if isPackage else name.rpartition(".")[0]
    base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
    if base is None or base.split(".")[0] != "reactor":
        return
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in MODULES else base


def graphOf(sources: dict[str, tuple[str, bool]]) -> tuple[dict[str, set[str]], list[str]]:
    """Return the modules of ours that each module imports, and the imports that stand inside functions.

    `sources` maps a module's name to its text and whether it is a package.
    """
    graph: dict[str, set[str]] = {}
    hidden: list[str] = []
    for name, (text, isPackage) in sources.items():
        graph[name] = set()
        for node, inFunction in importsOf(ast.parse(text)):
            if inFunction and isinstance(node, ast.Import | ast.ImportFrom):
                hidden.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
            graph[name].update(targetsOf(name, isPackage, node))
    return graph, hidden


def roomOf(name: str) -> str:
    """The package that a module counts for, or the module itself."""
    return next((package for package in PACKAGES if name == package or name.startswith(package + ".")), name)


def upwardOf(graph: dict[str, set[str]]) -> list[str]:
    """The imports that do not come from an earlier row, nor from the same room."""
    return [
        f"{name} (row {ROW[room]}) imports {target} (row {ROW.get(roomOf(target), 'unknown')})"
        for name, targets in graph.items()
        for room in (roomOf(name),)
        for target in sorted(targets)
        if roomOf(target) != room and (roomOf(target) not in ROW or ROW[roomOf(target)] >= ROW[room])
    ]


SOURCES = {name: (path.read_text(), path.name == "__init__.py") for name, path in PATHS.items()}
GRAPH, HIDDEN = graphOf(SOURCES)


def test_everyRoomHasItsRow() -> None:
    rooms = {roomOf(module) for module in MODULES}
    assert sorted(rooms - ROW.keys()) == []
    assert sorted(ROW.keys() - rooms) == []


def test_everyFloorStandsOnTheOneBelow() -> None:
    floors = [floor for floor, _names in ROWS]
    assert floors == sorted(floors)


def test_noImportPointsUp() -> None:
    assert upwardOf({name: targets for name, targets in GRAPH.items() if roomOf(name) in ROW}) == []


def test_noFileOfAPackageImportsItsFace() -> None:
    assert [name for name, targets in GRAPH.items() if roomOf(name) != name and roomOf(name) in targets] == []


def test_noImportHidesInAFunction() -> None:
    assert HIDDEN == []


def test_noCycle() -> None:
    graphlib.TopologicalSorter(GRAPH).prepare()


def test_importsAreFound() -> None:
    """The reader of imports itself: on the real tree it sees what is certainly there."""
    assert "reactor.defer" in GRAPH["reactor.protocol.clients"]
    assert GRAPH["reactor.linecore"] == {"reactor._gil", "reactor._linebuf"} | {
        f"reactor.linecore.{name}" for name in ("_announcing", "_locked", "_pure", "_sending")
    }
    assert sum(len(targets) for targets in GRAPH.values()) > 30


@pytest.mark.parametrize(
    "statement",
    [
        "import reactor.protocol",
        "from reactor.protocol import Protocol",
        "from reactor import protocol",
        "from .protocol import Protocol",
        "from . import protocol",
        "from importlib import import_module\nimport_module('reactor.protocol')",
        "__import__('reactor.protocol')",
        "from reactor._later import later\nprotocol = later('reactor.protocol', globals())",
        "try:\n    pass\nexcept ImportError:\n    from . import protocol",
        "class A:\n    from . import protocol",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from . import protocol",
    ],
)
def test_anUpwardImportIsSeen(statement: str) -> None:
    graph, hidden = graphOf({"reactor.defer": (statement, False)})
    assert hidden == []
    assert upwardOf(graph) == [
        f"reactor.defer (row {ROW['reactor.defer']}) imports reactor.protocol (row {ROW['reactor.protocol']})"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import socket",
        "from .error import TimeoutError",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import protocol",
    ],
)
def test_aDownwardImportPasses(statement: str) -> None:
    graph, hidden = graphOf({"reactor.defer": (statement, False)})
    assert (upwardOf(graph), hidden) == ([], [])


@pytest.mark.parametrize(
    "function",
    [
        "def f():\n    import socket",
        "async def f():\n    from . import error",
        "class A:\n    def f(self):\n        import os",
    ],
)
def test_aHiddenImportIsSeen(function: str) -> None:
    _graph, hidden = graphOf({"reactor.defer": (function, False)})
    assert len(hidden) == 1


def test_nothingInThePackageIsTimedByTheCalendar() -> None:
    """A delay by seconds() or time.time() is wrong when the wall clock is set: monotonic() is for delays."""
    tellers = {  # they pass it on, or tell a program
        "reactor": {"seconds"},
        "reactor._functions": {"seconds"},
        "reactor.aio.serving": {"seconds", "time"},
        "reactor.compat.events": {"time"},
        "reactor.compat.log": {"time"},
        "reactor.compat.logger": {"time"},
        "reactor.http.accesslog": {"seconds", "time"},
        "reactor.http.dates": {"time"},
        "reactor.http.files": {"time"},
        "reactor.service.worker": {"time"},
        "reactor.loops.base": {"seconds", "time"},
        "reactor.service.summing": {"time"},
        "reactor.service.server": {"time"},
        "reactor.serving.collecting.formats": {"time"},
        "reactor.serving.collecting.rotating": {"time"},
        "reactor.task.scheduled": {"seconds"},
        "reactor.testing.wire": {"seconds"},
        "reactor.timers": {"seconds"},
    }
    found: dict[str, set[str]] = {}
    for name, path in PATHS.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            asksTime = node.attr == "time" and isinstance(node.value, ast.Name) and node.value.id == "time"
            if node.attr == "seconds" or asksTime:
                found.setdefault(name, set()).add(node.attr)
    assert found == tellers


def test_everyModuleImportsAlone() -> None:
    """Each in a process of its own, below a stand-in for the package that runs none of reactor/__init__.py."""
    script = textwrap.dedent(
        """
        import importlib, os, sys, traceback, types
        path, *names = sys.argv[1:]
        failed = []
        for name in names:
            child = os.fork()
            if child == 0:
                package = types.ModuleType("reactor")
                package.__path__ = [path]
                package.__distribution__ = "linereactor"
                sys.modules["reactor"] = package
                try:
                    importlib.import_module(name)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            if os.waitpid(child, 0)[1] != 0:
                failed.append(name)
        sys.exit(" ".join(failed) or None)
        """
    )
    names = sorted(set(PATHS) - {"reactor"})
    command = [sys.executable, "-W", "error", "-c", script, str(PACKAGE), *names]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
