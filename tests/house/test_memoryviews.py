"""Each memoryview of something that may change its size is released by name, as not every Python counts references."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "src" / "reactor"

# Views of bytes, or of a buffer whose size never changes.
HARMLESS = {
    "aio/standard.py": {"memoryview(piece)", "view[os.write(self._fd, view):]"},
    "http/responding.py": {"memoryview(body)"},
    "linecore/_pure.py": {"memoryview(self._data)"},
    "serving/collecting/appending.py": {"memoryview(data)"},
    "serving/logoutput.py": {"memoryview(b'\\n' + data if self._isTorn else data)"},
    "stringreceivers.py": {"memoryview(self._buffer)"},
    "transports/datagram.py": {"memoryview(bytearray(max(RECEIVE_SIZE, maxPacketSize + 1)))"},
    "transports/tls/engine.py": {"memoryview(data)"},
}


def kept(tree: ast.AST) -> Iterator[str]:
    """The views that stay until the interpreter frees them, and the parts of views that do."""
    released: set[ast.AST] = set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem):
            released.add(node.context_expr)
            if isView(node.context_expr) and isinstance(node.optional_vars, ast.Name):
                names.add(node.optional_vars.id)
        elif isinstance(node, ast.Attribute) and node.attr == "release":
            released.add(node.value)
    for node in ast.walk(tree):
        isPart = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and nameOf(node.value) in names
        if (isView(node) or isPart) and node not in released:
            yield ast.unparse(node)


def isView(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and nameOf(node.func) == "memoryview"


def nameOf(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def test_everyViewIsReleased() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): views
        for path in PACKAGE.rglob("*.py")
        if (views := set(kept(ast.parse(path.read_text("utf-8")))))
    }
    assert found == HARMLESS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes(memoryview(data)[at:])", ["memoryview(data)"]),
        ("view = memoryview(data)", ["memoryview(data)"]),
        ("with memoryview(data) as view:\n    send(view[at:])", ["view[at:]"]),
        ("with memoryview(data) as view:\n    send(view)", []),
        ("with memoryview(data) as view, view[at:] as part:\n    send(part)", []),
        ("memoryview(data).release()", []),
        ("memoryview(data).nbytes", ["memoryview(data)"]),
        ("isinstance(data, bytes | memoryview)", []),
    ],
)
def test_viewsAreFound(text: str, found: list[str]) -> None:
    assert list(kept(ast.parse(text))) == found
