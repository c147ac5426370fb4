"""Import statements of Twisted's names, written anew with those of this package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from reactor.porting.lookup import homesOf, isTwisted, moduleFor
from reactor.porting.source import Edit, Source, commentsIn


class Import(NamedTuple):
    """One name of a statement in its new form. `module` is "" for a plain import of `name`, None if it has no place."""

    module: str | None
    name: str
    asname: str | None

    def __str__(self) -> str:
        return self.name if self.asname is None or self.asname == self.name else f"{self.name} as {self.asname}"


def movedFrom(module: str, aliases: list[ast.alias]) -> list[Import]:
    """Return the new form of each name of `from module import ...`."""
    homes = [homesOf(module, alias.name) for alias in aliases if moduleFor(f"{module}.{alias.name}") is None]
    shared = next((each for each in (homes[0] if homes else ()) if all(each in other for other in homes)), None)
    moved = []
    for alias in aliases:
        target = moduleFor(f"{module}.{alias.name}")
        if target is None:
            found = homesOf(module, alias.name)
            home = None if not found else shared or found[0]
            moved.append(Import(home, alias.name, alias.asname))
            continue
        parent, _, last = target.rpartition(".")
        bound = alias.asname or alias.name
        moved.append(Import(parent, last, None if bound == last else bound))
    return moved


class Statement:
    """A `from ... import ...` statement and its new form. `left` are the names without a counterpart."""

    def __init__(self, source: Source, node: ast.ImportFrom, moved: list[Import]) -> None:
        assert node.module is not None
        self.source = source
        self.node = node
        self.moved = moved
        self.module = node.module
        self.start, self.end = source.span(node)
        self.text = source.text[self.start : self.end]
        self.left = [alias for alias, to in zip(node.names, moved, strict=True) if to.module is None]

    def edits(self) -> Iterator[Edit]:
        """Yield the edits that write the statement anew."""
        groups: dict[str | None, list[Import]] = {}
        for to in self.moved:
            groups.setdefault(to.module, []).append(to)
        if list(groups) == [None]:
            return
        stays = self._stays(groups)
        before = [self._written(module, names) for module, names in groups.items() if module != stays]
        if stays == "":
            comments = commentsIn(self.text)
            yield Edit(
                self.start, self.end, self._joined([*comments, *before, self._written("", groups[""])], comments)
            )
            return
        if LINES.search(self.text) is None:
            yield Edit(self.start, self.end, self._joined([*before, self._written(stays, groups[stays])]))
            return
        if before:
            yield Edit(self.start, self.start, self._joined([*before, ""]))
        yield from self._within(stays)

    def _stays(self, groups: dict[str | None, list[Import]]) -> str | None:
        """Return the group that keeps the place and the layout of the statement: the largest, but no plain import."""
        return max(groups, key=lambda module: (module != "", len(groups[module])))

    def _written(self, module: str | None, names: list[Import]) -> str:
        shown = ", ".join(map(str, names))
        return f"import {shown}" if module == "" else f"from {module or self.module} import {shown}"

    def _joined(self, statements: list[str], comments: list[str] | None = None) -> str:
        before = self.source.lineBefore(self.start)
        if before.strip():
            return "; ".join(each for each in statements if each not in (comments or ()))
        return f"{self.source.newline}{before}".join(statements)

    def _within(self, stays: str | None) -> Iterator[Edit]:
        """Yield the edits inside a statement of several lines: its module, renamed names, and names that leave it."""
        if stays is not None:
            found = re.compile(rf"(from\s+(?:\\\s+)?){re.escape(self.module)}(?=[\s\\])").match(self.text)
            if found is None:
                raise ValueError(f"the layout of this statement is unusual: {self.module}")
            yield Edit(self.start + found.end(1), self.start + found.end(), stays)
        spans = [self.source.span(alias) for alias in self.node.names]
        lastKept = max(index for index, to in enumerate(self.moved) if to.module == stays)
        for index, (to, alias) in enumerate(zip(self.moved, self.node.names, strict=True)):
            start, end = spans[index]
            if to.module == stays:
                written = str(to)
                if written != self.source.text[start:end] and to != Import(to.module, alias.name, alias.asname):
                    yield Edit(start, end, written)
            elif index < lastKept:
                yield self._leaving(start, end, spans[index + 1][0])
            else:
                yield self._leavingEnd(spans, index, lastKept)

    def _leaving(self, start: int, end: int, following: int) -> Edit:
        """A name before the last one that stays goes with its comma, and a comment behind it stays."""
        between = self.source.text[end:following]
        if "#" not in between:
            return Edit(start, following, "")
        return Edit(start, end + between.index(",") + 1, "")

    def _leavingEnd(self, spans: list[tuple[int, int]], index: int, lastKept: int) -> Edit:
        """A name behind the last one that stays goes with the comma before it."""
        previous, (start, end) = spans[index - 1][1], spans[index]
        between = self.source.text[previous:start]
        if "#" not in between:
            return Edit(previous, end, "")
        following = re.match(r"\s*,", self.source.text[end : self.end])
        return Edit(start, end + (following.end() if following else 0), "")


LINES = re.compile(r"[\r\n#]")


def isMoved(node: ast.AST) -> bool:
    """Whether a node imports names from a module of Twisted's."""
    return isinstance(node, ast.ImportFrom) and not node.level and isTwisted(node.module)
