"""The declarations of zope.interface, which move only if they are about interfaces of this package alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from reactor.porting.lookup import has
from reactor.porting.scopes import Scopes, pathOf
from reactor.porting.source import Edit, Source
from reactor.porting.statements import Import, Statement

ZOPE = "zope.interface"
OURS = "reactor.interfaces"
THEIRS = "twisted.internet.interfaces"
ALL = frozenset({"implementer", "provider"})  # every argument is an interface
REST = frozenset({"alsoProvides", "classImplements", "directlyProvides"})  # all but the first are


def zopeMoves(source: Source, scopes: Scopes, nodes: list[ast.AST]) -> Iterator[Edit]:
    """Yield the edits of `from zope.interface import implementer` and the like.

    zope's own functions take interfaces of both packages, so a file with others, its own for example, keeps them.
    """
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == ZOPE and not node.level]
    names = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    if not names or not set(names.values()) <= ALL | REST:
        return
    used = [node for node in nodes if isinstance(node, ast.Name) and node.id in names]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    called = {node.func: node for node in calls}
    if not used or not all(node in called for node in used):  # passed on, to an unknown end
        return
    for node in used:
        call = called[node]
        skipped = 1 if names[node.id] in REST else 0
        if call.keywords or not all(_isOurs(scopes, each) for each in call.args[skipped:]):
            return
    for statement in imports:
        moved = [Import(OURS, alias.name, alias.asname) for alias in statement.names]
        try:
            yield from Statement(source, statement, moved).edits()
        except ValueError:
            return


def _isOurs(scopes: Scopes, node: ast.expr) -> bool:
    path = pathOf(node)
    full = None if path is None else scopes.of[path[0]].find(path[0].id)
    if path is None or full is None:
        return False
    dotted = ".".join([full, *(each.attr for each in path[1])])
    module, _, name = dotted.rpartition(".")
    return module == THEIRS and has(OURS, name)
