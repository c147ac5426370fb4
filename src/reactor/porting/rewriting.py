"""One Python file, moved from Twisted to this package: its new bytes, and the names that have no counterpart."""

from __future__ import annotations

import ast
from typing import NamedTuple

from reactor.compat.counterparts import adviceFor
from reactor.porting.interfaces import zopeMoves
from reactor.porting.lookup import PACKAGES, has, homesOf, isTwisted, moduleFor
from reactor.porting.scopes import ROOT, Scopes, pathOf
from reactor.porting.source import Edit, Source
from reactor.porting.stars import unknownNames
from reactor.porting.statements import Import, Statement, isMoved, movedFrom
from reactor.porting.texts import IMPORTERS, PATCHERS, edited, firstTexts, movedName, namesIn

UNUSUAL = "write this statement on one line, and port it again"


class Finding(NamedTuple):
    """A name without a counterpart: its line from 1 on, its column from 1 on, and what to do."""

    line: int
    column: int
    name: str
    advice: str


class Ported(NamedTuple):
    """The result for a file. `notes` are texts in it that name modules of Twisted's; they stay as they are."""

    before: bytes
    after: bytes
    findings: list[Finding]
    notes: list[Finding]


def portSource(data: bytes) -> Ported:
    """Port the bytes of a Python file. UnreadableError if they are no Python. Nothing is written.

    Ported text has no names left to port, so a second call changes nothing.
    """
    return _Porting(data).result()


class _Porting:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._source = Source(data)
        self._scopes = Scopes(self._source.tree)
        self._edits: list[Edit] = []
        self._findings: dict[tuple[int, int, str], Finding] = {}
        self._notes: list[Finding] = []
        self._rootModules: set[str] = set()  # what `twisted.x.y` in the text becomes, and so must be imported
        self._keepsRoot = False
        # The name of the package in the text; another name if the program binds "reactor" itself.
        self._isShadowed = "reactor" in self._scopes.bound

    def result(self) -> Ported:
        nodes = list(ast.walk(self._source.tree))
        self._chains(nodes)
        for node in nodes:
            if isMoved(node):
                assert isinstance(node, ast.ImportFrom)
                self._importFrom(node)
            elif isinstance(node, ast.Import):
                self._import(node)
        self._edits += zopeMoves(self._source, self._scopes, nodes)
        self._texts(nodes)
        self._stars(nodes)
        after = self._source.edited(self._edits) if self._edits else self._data
        return Ported(self._data, after, sorted(self._findings.values()), sorted(self._notes))

    def _found(self, node: ast.AST, name: str, advice: str | None = None) -> None:
        place: ast.expr = node  # type: ignore[assignment]
        finding = Finding(place.lineno, place.col_offset + 1, name, adviceFor(name) if advice is None else advice)
        self._findings.setdefault(finding[:3], finding)

    # Statements.

    def _importFrom(self, node: ast.ImportFrom) -> None:
        assert node.module is not None
        statement = Statement(self._source, node, movedFrom(node.module, node.names))
        for alias in statement.left:
            self._found(alias, f"{node.module}.{alias.name}")
        try:
            self._edits += statement.edits()
        except ValueError:
            self._found(node, node.module, UNUSUAL)

    def _import(self, node: ast.Import) -> None:
        kept = [alias for alias in node.names if self._isKept(alias)]
        if len(kept) == len(node.names):
            return
        for alias in node.names:
            if alias.asname is None or not isTwisted(alias.name):
                continue
            target = moduleFor(alias.name)
            start, end = self._source.span(alias)
            if target is None or not self._source.text[start:end].startswith(alias.name):
                continue
            self._edits.append(Edit(start, start + len(alias.name), target))
        rooted = [alias for alias in node.names if alias.asname is None and alias not in kept]
        for alias in rooted:
            target = moduleFor(alias.name)
            modules = [target] if target is not None else sorted(self._rootModules)
            start, end = self._source.span(alias)
            self._edits.append(Edit(start, end, ", ".join(str(self._plain(each)) for each in modules)))

    def _isKept(self, alias: ast.alias) -> bool:
        """Whether a name of `import ...` stays as it is, which is told if it is Twisted's."""
        if not isTwisted(alias.name):
            return True
        if moduleFor(alias.name) is not None:
            return False
        if alias.name in PACKAGES and alias.asname is None:  # `import twisted`, for what is written behind it
            return self._keepsRoot or not self._rootModules
        self._found(alias, alias.name)
        return True

    def _plain(self, module: str) -> Import:
        return Import("", module, self._nameOf(module) if self._isShadowed else None)

    def _nameOf(self, module: str) -> str:
        """Return the expression for a module in the text."""
        return module.replace(".", "_") + ("_module" if module == "reactor" else "") if self._isShadowed else module

    # Expressions.

    def _chains(self, nodes: list[ast.AST]) -> None:
        """Deal with `a.b.c`, where `a` is Twisted or a module of it. Of chains in each other, take the longest."""
        inner: set[ast.AST] = {node.value for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if node in inner or not isinstance(node, ast.Attribute | ast.Name):
                continue
            path = pathOf(node)
            full = None if path is None else self._scopes.of[path[0]].find(path[0].id)
            if path is None or full is None:
                continue
            root, attributes = path
            if full == ROOT and root.id == ROOT:
                self._rooted(root, attributes)
            elif attributes:
                self._ofModule(full, attributes)

    def _rooted(self, root: ast.Name, attributes: list[ast.Attribute]) -> None:
        names = [ROOT, *(each.attr for each in attributes)]
        for count in range(len(names), 1, -1):
            target = moduleFor(".".join(names[:count]))
            if target is not None:
                self._rootModules.add(target)
                start, _ = self._source.span(root)
                _, end = self._source.span(attributes[count - 2])
                self._edits.append(Edit(start, end, self._nameOf(target)))
                if count < len(names):
                    self._checkName(".".join(names[:count]), attributes[count - 1])
                return
        self._keepsRoot = True
        if not attributes or attributes[-1].attr.startswith("__"):
            return
        self._found(attributes[-1], ".".join(names))

    def _ofModule(self, full: str, attributes: list[ast.Attribute]) -> None:
        """Check the names that are asked of a module, and of the modules in a package."""
        name = full
        for attribute in attributes:
            if moduleFor(name) is not None:
                if moduleFor(f"{name}.{attribute.attr}") is None:
                    self._checkName(name, attribute)
                return
            if name not in PACKAGES:
                return
            name = f"{name}.{attribute.attr}"

    def _checkName(self, module: str, attribute: ast.Attribute) -> None:
        if attribute.attr.startswith("__") or homesOf(module, attribute.attr):
            return
        target = moduleFor(module)
        if (target is not None and isinstance(attribute.ctx, ast.Load)) or not has(str(target), attribute.attr):
            self._found(attribute, f"{module}.{attribute.attr}")

    def _texts(self, nodes: list[ast.AST]) -> None:
        """Rewrite the texts of mock.patch; tell modules that are imported by a text, and note the other names."""
        told = {(finding.line, finding.column) for finding in self._findings.values()}
        for node, name in firstTexts(nodes, IMPORTERS):
            target = moduleFor(name)
            self._found(node, name, None if target is None else f"write {target!r} by hand")
            told.add((node.lineno, node.col_offset + 1))
        for node, name in firstTexts(nodes, PATCHERS):
            new = movedName(name)
            edit = None if new is None else edited(self._source, node, name, new)
            if edit is not None:
                self._edits.append(edit)
                told.add((node.lineno, node.col_offset + 1))
        for node, name in namesIn(nodes):
            place = node.lineno, node.col_offset + 1
            if place not in told:
                self._notes.append(Finding(*place, name, "a text, which stays as it is"))

    def _stars(self, nodes: list[ast.AST]) -> None:
        """Tell the names that only a star import can have brought, and that its new module has not."""
        for node, modules, isOnly in unknownNames(self._scopes, nodes):
            advice = f"used, and not in {' or '.join(modules)}, whose names are imported by *: import it by its name"
            if isOnly:
                self._found(node, node.id, advice)
            else:
                self._notes.append(Finding(node.lineno, node.col_offset + 1, node.id, advice))
