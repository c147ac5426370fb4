"""Docstrings as reStructuredText. Those of this package are plain text with code in single backticks."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import reactor

CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|_])")
BULLET = re.compile(r"(?:[-*]|\d+\.)\s+")
ROW = re.compile(r"(\S+) {2,}(\S.*)")  # a name, and behind it what it means
# A name in prose, with what may stand around a role of reStructuredText.
NAME = re.compile(r"(?<![^\s'\"(\[{<\-/:])([A-Za-z]\w*(?:\.\w+)*)(\(\))?(?![^\s'\")\]}>\-/\\:.,;!?])")
TELLING = re.compile(r"[a-z]+[A-Z]\w*|[A-Z]\w*[a-z]\w*|\w+(?:\.\w+)+")  # others, such as "run", may be plain words

# The exceptions of reactor.error that have their name alone. Python, or another module, has some of the others.
ERRORS = {
    name
    for name, thing in vars(reactor.error).items()
    if isinstance(thing, type) and not hasattr(builtins, name) and name not in {*reactor.__all__, *vars(reactor.defer)}
}


def inline(text: str) -> str:
    """A line of prose: its code spans are code, links where they are public names, and all else is taken literally."""
    parts = CODE.split(text)
    return "".join(span(part) if number % 2 else plain(part) for number, part in enumerate(parts))


def span(code: str) -> str:
    return link(code.removesuffix("()"), code) or f"``{code.strip()}``"


def plain(text: str) -> str:
    """Names of the package are links without backticks, too."""
    parts, end = [], 0
    for found in NAME.finditer(text):
        role = link(found[1], found.group()) if TELLING.fullmatch(found[1]) else None
        if role is not None:
            parts += [SPECIAL.sub(r"\\\1", text[end : found.start()]), role]
            end = found.end()
    return "".join([*parts, SPECIAL.sub(r"\\\1", text[end:])])


def link(name: str, shown: str) -> str | None:
    """The role that shows a name as a link, if it is one of the package, or of one of its classes or modules."""
    path = name.removeprefix("reactor.").split(".")
    found: Any = reactor
    if len(path) == 1 and path[0] in ERRORS:
        path.insert(0, "error")
    if path[0] not in reactor.__all__ and not isinstance(vars(reactor).get(path[0]), ModuleType):
        return None
    for part in path:
        found = getattr(found, part, None)
        if found is None:
            return None
    return f":py:obj:`{shown} <reactor.{'.'.join(path)}>`"


def converted(lines: list[str]) -> Iterator[str]:
    wasEmpty, isCode, isItem, depth = True, False, False, 0
    for line in lines:
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if not stripped:
            wasEmpty = True
            yield ""
            continue
        if wasEmpty:
            wasCode, isCode = isCode, indent >= depth + 4
            if isCode and not wasCode:
                yield "::"
                yield ""
        if isCode:
            yield line
            wasEmpty = False
            continue
        bullet = BULLET.match(stripped)
        if bullet:
            if not wasEmpty and not isItem:
                yield ""
            isItem, depth = True, indent
            yield " " * indent + bullet.group() + inline(stripped[bullet.end() :])
        elif row := ROW.fullmatch(stripped):
            yield " " * indent + f"- ``{row[1]}``: {inline(row[2])}"
            isItem = False
        else:
            if wasEmpty:
                isItem, depth = False, indent
            yield " " * indent + inline(stripped)
        wasEmpty = False


def process(_app: Any, what: str, _name: str, thing: Any, _options: Any, lines: list[str]) -> None:
    """Sphinx calls this with the lines of each docstring, which are replaced in place."""
    if what == "data" and not isinstance(thing, type):  # the text is that of the value's type
        lines.clear()
    lines[:] = converted(list(lines))
