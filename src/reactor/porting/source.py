"""The text of a Python file, and edits in it: everything outside an edit stays byte for byte."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from typing import NamedTuple

from reactor import _overwritten as _overwritten

LINE_END = re.compile(r"\r\n|\r|\n")


class UnreadableError(Exception):
    """A file is no Python that can be read and written back. Its text says why, in one line."""


class Edit(NamedTuple):
    """The characters from `start` up to `end` become `text`."""

    start: int
    end: int
    text: str


class Source:
    """A Python file: its `text`, its `tree`, and where the nodes of the tree are in the text.

    UnreadableError if `data` is no Python, or cannot be decoded.
    """

    def __init__(self, data: bytes) -> None:
        self.encoding, self.text = _decoded(data)
        if self.text.encode(self.encoding) != data:
            raise UnreadableError(f"its bytes are no plain {self.encoding}, and could not be written back")
        try:
            with warnings.catch_warnings():  # those of the program's own text
                warnings.simplefilter("ignore")
                self.tree = ast.parse(self.text)
        except SyntaxError as error:
            raise UnreadableError(f"line {error.lineno}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise UnreadableError(str(error) or type(error).__name__) from None
        self._starts = [0, *(found.end() for found in LINE_END.finditer(self.text))]
        newline = LINE_END.search(self.text)
        self.newline = "\n" if newline is None else newline[0]

    def offset(self, line: int, column: int) -> int:
        """Return the place in the text of a place in the tree: a line from 1 on, and a column in bytes of UTF-8."""
        start = self._starts[line - 1]
        end = self._starts[line] if line < len(self._starts) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return the first character of a node, and the one behind it."""
        place: ast.expr = node  # type: ignore[assignment]
        assert place.end_lineno is not None
        assert place.end_col_offset is not None
        return self.offset(place.lineno, place.col_offset), self.offset(place.end_lineno, place.end_col_offset)

    def lineBefore(self, start: int) -> str:
        """Return the text of a line before the character `start`."""
        return self.text[max(begin for begin in self._starts if begin <= start) : start]

    def edited(self, edits: list[Edit]) -> bytes:
        """Return the bytes of the file with `edits`, which do not overlap."""
        parts, position = list[str](), 0
        for edit in sorted(edits):
            if edit.start < position:
                raise AssertionError(f"two edits overlap at {edit.start}")
            parts += [self.text[position : edit.start], edit.text]
            position = edit.end
        return "".join([*parts, self.text[position:]]).encode(self.encoding)


def commentsIn(text: str) -> list[str]:
    """Return the comments of a statement."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def _decoded(data: bytes) -> tuple[str, str]:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return encoding, data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise UnreadableError(str(error)) from None
