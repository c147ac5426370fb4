"""Docstrings as reStructuredText. Those of this package are plain text with code in single backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import reactor

CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|_])")
BULLET = re.compile(r"(?:[-*]|\d+\.)\s+")
ROW = re.compile(r"(\S+) {2,}(\S.*)")  # a name, and behind it what it means
NAME = re.compile(r"\b[a-z]+[A-Z]\w*(?:\(\))?|\b(?:[A-Z][a-z]+){2,}\b")

PUBLIC = frozenset(name for name in reactor.__all__ if name not in reactor.__dict__.get("_shown", ()))


def inline(text: str) -> str:
    """A line of prose: its code spans are code, links where they are public names, and all else is taken literally."""
    parts = CODE.split(text)
    return "".join(span(part) if number % 2 else plain(part) for number, part in enumerate(parts))


def span(code: str) -> str:
    name = code.removesuffix("()")
    if name in PUBLIC:
        return f":py:obj:`{code} <reactor.{name}>`"
    return f"``{code}``" if code.strip() == code else f"``{code.strip()}``"


def plain(text: str) -> str:
    """Names of the package are links without backticks, too."""

    def linked(found: re.Match[str]) -> str:
        name = found.group().removesuffix("()")
        return f":py:obj:`{found.group()} <reactor.{name}>`" if name in PUBLIC else found.group()

    pieces = re.split(f"({NAME.pattern})", text)
    return "".join(
        linked(re.match(".*", piece, re.DOTALL))
        if piece.removesuffix("()") in PUBLIC  # type: ignore[arg-type]
        else SPECIAL.sub(r"\\\1", piece)
        for piece in pieces
    )


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
