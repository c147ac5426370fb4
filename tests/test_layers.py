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

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "src" / "reactor"

# The table of docs/design.md, one row a tuple, from the ground up. A module may import modules of earlier rows only;
# where one of a floor needs another of the same floor, the floor has a row more. The floor's number is for the reader.
ROWS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, ("reactor.loops", "reactor.serving", "reactor.transports", "reactor._linebuf")),
    (0, ("reactor.interfaces.asking",)),
    (0, ("reactor.interfaces.streams", "reactor.interfaces.datagrams", "reactor.interfaces.loops")),
    (0, ("reactor.interfaces.protocols", "reactor.interfaces.reactors")),
    (0, ("reactor.interfaces",)),
    (0, ("reactor.error", "reactor.failure", "reactor.address")),
    (0, ("reactor._arguments",)),
    (0, ("reactor._current", "reactor._logger", "reactor._numbers", "reactor.timers", "reactor.linecore._pure")),
    (0, ("reactor.linecore", "reactor._closing")),
    (1, ("reactor._chain",)),
    (1, ("reactor._coroutines",)),
    (1, ("reactor._deferred",)),
    (1, ("reactor._combinators", "reactor._primitives", "reactor._filelock")),
    (1, ("reactor._beside",)),
    (1, ("reactor.defer", "reactor._pauseable", "reactor._protocols", "reactor._filewrapper", "reactor._adapters")),
    (1, ("reactor._factories",)),
    (1, ("reactor._clients",)),
    (1, ("reactor.protocol",)),
    (2, ("reactor.linereceiver", "reactor.stringreceivers", "reactor.filesender", "reactor.threads")),
    (2, ("reactor._cooperator", "reactor._wrapping", "reactor.tlsoptions", "reactor.transports.output")),
    (2, ("reactor.transports.spawning", "reactor.transports.resting", "reactor.utils")),
    (2, ("reactor._throttling",)),
    (2, ("reactor.policies",)),
    (2, ("reactor.task", "reactor.transports.duplex", "reactor.transports.childpipes", "reactor.transports.tlsengine")),
    (2, ("reactor.transports.sharing",)),
    (2, ("reactor.transports.stream", "reactor.transports.tlsoutput")),
    (2, ("reactor.transports.tlslayer",)),
    (2, ("reactor.transports.tls",)),
    (2, ("reactor.transports.starttls",)),
    (3, ("reactor.transports.listening", "reactor.transports.connecting")),
    (3, ("reactor.transports.unixpath", "reactor.transports.datagram", "reactor.transports.binding")),
    (3, ("reactor.transports.descriptors",)),
    (4, ("reactor.transports.tcp", "reactor.transports.unix")),
    (4, ("reactor.transports.tlsports", "reactor.transports.adopting")),
    (4, ("reactor.transports.udp", "reactor.transports.unixdatagram", "reactor.transports.process")),
    (5, ("reactor.loops.names",)),
    (5, ("reactor.loops.resolving", "reactor.loops.signals", "reactor.loops.triggers", "reactor.loops.waker")),
    (5, ("reactor.loops.ownepoll", "reactor.loops.forks", "reactor.loops.guard", "reactor.loops.guests")),
    (5, ("reactor.loops.sockets", "reactor.loops.children", "reactor.loops.workers")),
    (5, ("reactor.loops.base",)),
    (6, ("reactor.testing.doubles", "reactor.testing.loopback")),
    (6, ("reactor.testing.memoryreactor", "reactor.testing.wire")),
    (6, ("reactor.aio.channels",)),
    (6, ("reactor.aio.serving", "reactor.aio.streams")),
    (6, ("reactor.aio.connecting",)),
    (6, ("reactor.aio",)),
    (6, ("reactor.loops.epoll", "reactor.loops.asyncioloop", "reactor.stdio", "reactor.endpoints.systemd")),
    (6, ("reactor.processendpoint",)),
    (6, ("reactor.endpoints.streams", "reactor.endpoints.parsers", "reactor.endpoints.pemfiles")),
    (6, ("reactor.testing.pair",)),
    (6, ("reactor.testing",)),
    (6, ("reactor.endpoints.hostname", "reactor.endpoints.tls")),
    (6, ("reactor.endpoints.strings",)),
    (6, ("reactor.endpoints",)),
    (7, ("reactor.serving.errors", "reactor.serving.latency", "reactor.serving.lines")),
    (7, ("reactor.serving.backlog", "reactor.serving.framing", "reactor.serving.standard")),
    (7, ("reactor.serving.logs", "reactor.serving.linefile")),
    (7, ("reactor.serving.chatnames",)),
    (7, ("reactor.serving.options", "reactor.serving.watch")),
    (7, ("reactor.serving.drain",)),
    (7, ("reactor.serving.chat", "reactor.serving.collect", "reactor.serving.echo")),
    (7, ("reactor.serving.apps",)),
    (7, ("reactor.serving.server",)),
    (7, ("reactor.serving.load",)),
    (7, ("reactor.__main__", "reactor._calls")),
    (7, ("reactor._opening",)),
    (7, ("reactor",)),
)
ROW = {name: number for number, (_floor, names) in enumerate(ROWS) for name in names}

COMPILED = frozenset({"reactor._linebuf"})


def moduleName(path: pathlib.Path) -> str:
    parts = ("reactor", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {moduleName(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = frozenset(PATHS) | COMPILED


def isTypeChecking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def isImportCall(node: ast.AST) -> bool:
    names = ("import_module", "__import__")
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
    """The modules of ours that one import statement of module `name` runs. A parent package that it passes through on
    the way counts only if it is named: `from reactor import defer` names reactor.defer alone.
    """
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "reactor")
        return
    if isinstance(node, ast.Call):
        argument = node.args[0] if node.args else None
        if isinstance(argument, ast.Constant) and str(argument.value).split(".")[0] in ("reactor", ""):
            yield str(argument.value)
        return
    package = name if isPackage else name.rpartition(".")[0]
    base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
    if base is None or base.split(".")[0] != "reactor":
        return
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in MODULES else base


def graphOf(sources: dict[str, tuple[str, bool]]) -> tuple[dict[str, set[str]], list[str]]:
    """What each module imports of ours, and the imports that stand inside functions. `sources` maps a module's name to
    its text and whether it is a package.
    """
    graph: dict[str, set[str]] = {}
    hidden: list[str] = []
    for name, (text, isPackage) in sources.items():
        graph[name] = set()
        for node, inFunction in importsOf(ast.parse(text)):
            isStatement = not isinstance(node, ast.Call)
            if inFunction and isStatement:
                hidden.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
            graph[name].update(targetsOf(name, isPackage, node))
    return graph, hidden


def upwardOf(graph: dict[str, set[str]]) -> list[str]:
    """The imports that do not come from an earlier row."""
    return [
        f"{name} (row {ROW[name]}) imports {target} (row {ROW.get(target, 'unknown')})"
        for name, targets in graph.items()
        for target in sorted(targets)
        if target not in ROW or ROW[target] >= ROW[name]
    ]


SOURCES = {name: (path.read_text(), path.name == "__init__.py") for name, path in PATHS.items()}
GRAPH, HIDDEN = graphOf(SOURCES)


def test_everyModuleHasItsRow() -> None:
    assert sorted(MODULES - ROW.keys()) == []
    assert sorted(ROW.keys() - MODULES) == []


def test_everyFloorStandsOnTheOneBelow() -> None:
    floors = [floor for floor, _names in ROWS]
    assert floors == sorted(floors)


def test_noImportPointsUp() -> None:
    assert upwardOf({name: targets for name, targets in GRAPH.items() if name in ROW}) == []


def test_noImportHidesInAFunction() -> None:
    assert HIDDEN == []


def test_noCycle() -> None:
    graphlib.TopologicalSorter(GRAPH).prepare()


def test_importsAreFound() -> None:
    """The reader of imports itself: on the real tree it sees what is certainly there."""
    assert "reactor.defer" in GRAPH["reactor._clients"]
    assert GRAPH["reactor.linecore"] == {"reactor.linecore._pure", "reactor._linebuf"}
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
    """Who asks for seconds(), or time.time(), is late or early when the wall clock is set: monotonic() is for that."""
    tellers = {  # they pass it on, or tell a program
        "reactor": {"seconds"},
        "reactor._calls": {"seconds"},
        "reactor.aio.serving": {"seconds", "time"},
        "reactor.loops.base": {"seconds", "time"},
        "reactor.task": {"seconds"},
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
