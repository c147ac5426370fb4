"""Texts of a program that are dotted names of Twisted's: for mock.patch, for an import by name, and others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from reactor.porting.lookup import homesOf, isTwisted, moduleFor
from reactor.porting.scopes import ROOT
from reactor.porting.source import Edit, Source

IMPORTERS = frozenset({"import_module", "__import__", "namedAny", "namedModule", "requireModule"})
PATCHERS = frozenset({"patch", "setattr", "delattr"})  # of unittest.mock, and of pytest's monkeypatch
_DOTTED = re.compile(rf"{ROOT}(?:\.\w+)+")


def namesIn(nodes: list[ast.AST]) -> Iterator[tuple[ast.Constant, str]]:
    """Yield each text that is a dotted name of Twisted's."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            yield node, node.value


def firstTexts(nodes: list[ast.AST], functions: frozenset[str]) -> Iterator[tuple[ast.Constant, str]]:
    """Yield the first argument of each call of one of `functions`, if it is a text that is a name of Twisted's."""
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and _calledName(node) in functions:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and isTwisted(argument.value):
                yield argument, argument.value


def _calledName(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def movedName(name: str) -> str | None:
    """Return the dotted name of ours for an attribute of a module of Twisted's; None if it has none."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 1, -1):
        module = ".".join(parts[:count])
        target = moduleFor(module)
        if target is not None:
            return ".".join([target, *parts[count:]]) if target in homesOf(module, parts[count]) else None
    return None


def edited(source: Source, node: ast.Constant, name: str, new: str) -> Edit | None:
    """Return the edit that puts `new` for `name` inside a literal; None if the literal writes it in another way."""
    start, end = source.span(node)
    text = source.text[start:end]
    if text.count(name) != 1:
        return None
    place = start + text.index(name)
    return Edit(place, place + len(name), new)
