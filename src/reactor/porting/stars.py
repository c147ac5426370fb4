"""Names that a file has from `from module import *` of Twisted's, and that the counterpart does not have."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from reactor.porting.lookup import isShown, isTwisted, moduleFor
from reactor.porting.scopes import Scopes
from reactor.porting.statements import isMoved

_IMPLICIT = frozenset({"__file__", "__path__", "__name__", "__doc__", "__spec__", "__package__", "__builtins__"})


def unknownNames(scopes: Scopes, nodes: list[ast.AST]) -> Iterator[tuple[ast.Name, list[str], bool]]:
    """Yield each name that is used, and bound nowhere: once, with our modules that were searched for it.

    The last part says whether the star imports of Twisted's are the only ones, and so the name must be of one of them.
    Nothing is yielded for a file without star imports of Twisted's, or with one of a module without a counterpart.
    """
    stars = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    ours = [moduleFor(node.module or "") for node in stars if isMoved(node)]
    searched = [each for each in ours if each is not None]
    if not searched or len(searched) < len(ours):
        return
    isOnly = all(isTwisted(node.module) and not node.level for node in stars)
    told = set(vars(builtins)) | _IMPLICIT
    for node in nodes:
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id in told:
            continue
        if scopes.of[node].binds(node.id) or any(isShown(module, node.id) for module in searched):
            continue
        told.add(node.id)
        yield node, searched, isOnly
