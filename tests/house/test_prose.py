"""The sheet "Prose" of CONTRIBUTING.md, as far as a program can check it.

A text is a document, a docstring, a comment, or a string of the source that reads as a sentence. Such strings are error
messages, log records and help texts.
"""

from __future__ import annotations

import ast
import inspect
import io
import pathlib
import re
import textwrap
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN = "tests/house/test_prose.py"  # its strings are patterns, and samples of bad sentences
LENGTH = 120  # of a line, in characters
SENTENCE = 25  # words
CELL = 15  # words of a table's cell


class Fault(NamedTuple):
    kind: str
    place: str  # file and line
    text: str


class Paragraph(NamedTuple):
    line: int
    text: str  # on one line, code spans as they are


FENCE = re.compile(r"^ *```.*?^ *```[^\n]*", re.MULTILINE | re.DOTALL)
STRING = re.compile(r"'''.*?'''|\"\"\".*?\"\"\"", re.DOTALL)
MARKUP = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
CODE = re.compile(r"`[^`]+`")
ROW = re.compile(r"\S+ {2,}\S")  # a name, and behind it what it means
BULLET = re.compile(r"(?:[-*]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?])[)\"']*\s+")  # the next sentence may begin with a name in lower case
# Names in a row, as the methods of a table's row, count as one word.
NAMES = re.compile(r"`[^`]+`(?:(?:,| and|, and| or)? `[^`]+`)+")
WORD = re.compile(r"\S*\w\S*")  # between spaces: "tcp:PORT" and "and/or" are one

# The faults that a pattern finds, in a text whose code spans are blanked.
FORBIDDEN = {
    '"say" for "for example"': re.compile(r",\s+say\b(?! so\b)|\bsay(?=[.,;:)]|$)", re.IGNORECASE),
    '"has gone"': re.compile(r"\b(?:who|that|it|peer|client|has|have|had|is) gone\b(?! (?:on|through|by))"),
    '"told of"': re.compile(r"\btold (?:of|about)\b"),
    "a free subject": re.compile(r"\b(?:whoever|whomever|nobody who|those who)\b", re.IGNORECASE),
    "a document that is not in the tree": re.compile(
        r"(?<![-\w])[A-Z]\d{1,2}(?=[ ,.;:)]|$)|\b(?:DESIGN|RELIABILITY|STYLE\.md)\b(?!_)"
    ),
    "double backticks": re.compile(r"(?<!`)``(?!`).*?``"),
}
FREE_START = re.compile(r"(?:[-*\"'(]\s*)*(?:Who|What|Whoever|Whatever|Nobody who)\b")


def wordsOf(sentence: str) -> int:
    return len(WORD.findall(CODE.sub("X", NAMES.sub("X", sentence))))


def sentencesOf(text: str) -> list[str]:
    """The sentences of a paragraph. A code span neither ends nor begins one by the marks in it."""
    spans = CODE.findall(text)
    masked = CODE.sub("`X`", text)
    masked = re.sub(r"\b(e\.g|i\.e|cf|vs|etc|No)\.", r"\1", masked)
    sentences = END.split(masked)
    remaining = iter(spans)
    return [re.sub(r"`X`", lambda _: next(remaining), sentence) for sentence in sentences]


def paragraphsOf(text: str, first: int = 1) -> Iterator[Paragraph]:
    """The paragraphs and list items of `text`, whose first line has the number `first`. Indented code is left out."""
    begun, held, depth = 0, list[str](), 0

    def flush() -> Iterator[Paragraph]:
        if held:
            yield Paragraph(begun, " ".join(held))
            held.clear()

    isCode = isItem = False
    wasEmpty = True
    for number, line in enumerate(text.split("\n"), first):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if not stripped:
            yield from flush()
            wasEmpty = True
            continue
        if wasEmpty:
            isCode = indent >= depth + 4
        wasEmpty = False
        if isCode:
            continue
        bullet = BULLET.match(stripped)
        if bullet:
            yield from flush()
            depth = indent
            isItem = True
            stripped = stripped[bullet.end() :]
        elif not held or (not isItem and indent != depth) or ROW.match(stripped):
            yield from flush()
            depth = indent
            isItem = False
        if not held:
            begun = number
        held.append(stripped)
    yield from flush()


def judged(path: str, paragraph: Paragraph, mayBeginFreely: bool = False) -> Iterator[Fault]:
    place = f"{path}:{paragraph.line}"
    text = LINK.sub(r"\1", paragraph.text)
    blanked = CODE.sub("`X`", text)
    for kind, pattern in FORBIDDEN.items():
        for found in pattern.finditer(blanked):
            yield Fault(kind, place, blanked[max(0, found.start() - 40) : found.end() + 30])
    for sentence in sentencesOf(text):
        if wordsOf(sentence) > SENTENCE:
            yield Fault(f"more than {SENTENCE} words", place, f"({wordsOf(sentence)}) {sentence}")
        if FREE_START.match(sentence) and not mayBeginFreely and not sentence.endswith("?"):
            yield Fault("a free subject", place, sentence)


def blanked(text: str, pattern: re.Pattern[str]) -> str:
    """The text without what matches, its lines kept."""
    return pattern.sub(lambda found: "\n" * found.group().count("\n"), text)


def ofMarkdown(path: str, text: str) -> Iterator[Fault]:
    prose = blanked(blanked(text, FENCE), MARKUP)
    rows = []
    lines = prose.split("\n")
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("|"):
            rows.append((number, line))
            lines[number - 1] = ""
        elif line.startswith("#"):
            yield from judged(path, Paragraph(number, line.lstrip("# ")), mayBeginFreely=True)
            lines[number - 1] = ""
    for number, row in rows:
        for cell in re.split(r"(?<!\\)\|", row.strip().strip("|")):
            plain = LINK.sub(r"\1", cell.strip())
            if wordsOf(plain) > CELL:
                yield Fault(f"a cell of more than {CELL} words", f"{path}:{number}", f"({wordsOf(plain)}) {plain}")
            yield from judged(path, Paragraph(number, cell.strip()), mayBeginFreely=True)
    for paragraph in paragraphsOf("\n".join(lines)):
        yield from judged(path, paragraph)


def commentsOf(text: str) -> Iterator[Paragraph]:
    """Comments that stand on lines of their own are one text; a comment behind code is a text of its own."""
    block: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        stripped = line.strip()
        if stripped.startswith("#") and not stripped.startswith("#!"):
            if not block:
                first = number
            block.append(stripped[1:].removeprefix(" "))
            continue
        if block:
            yield from paragraphsOf("\n".join(block), first)
            block = []


def trailingOf(text: str) -> Iterator[Paragraph]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip():
            comment = token.string.lstrip("# ")
            if not re.match(r"(?:noqa|type:|pragma|pyright|mypy)", comment):
                yield Paragraph(token.start[0], comment)


def withoutStrings(text: str) -> str:
    """`text` with the lines of its multi-line strings emptied: a # in one of them begins no comment."""
    return blanked(text, STRING)


def docstringsOf(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                value = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value


def isProgram(text: str) -> bool:
    """Whether a text of several lines is a program in Python, or a list of names."""
    if "\n" not in text.strip():
        return False
    try:
        ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return all(word.isidentifier() for word in text.split())
    return True


def messagesOf(tree: ast.Module, docstrings: set[int]) -> Iterator[Paragraph]:
    """Strings of at least four words, with X for what is put into them. A string that is repeated is data."""
    within: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            within.update(map(id, (node.left, node.right)))
        if isinstance(node, ast.JoinedStr):
            within.update(map(id, node.values))
            parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
            text = "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | within:
            text = node.value
        else:
            continue
        if len(text.split()) < 4 or isProgram(text):
            continue
        # The lines of a text with values in it are apart; a longer text has paragraphs.
        apart = text.replace("\n", "\n\n") if isinstance(node, ast.JoinedStr) else text
        for paragraph in paragraphsOf(apart):
            yield Paragraph(node.lineno, paragraph.text)


def ofPython(path: str, text: str) -> Iterator[Fault]:
    tree = ast.parse(text)
    docstrings = list(docstringsOf(tree))
    for docstring in docstrings:
        assert isinstance(docstring.value, str)
        prose = inspect.cleandoc(docstring.value)
        if not prose.split("\n\n")[0].endswith(prose.split("\n")[0]):
            yield Fault("a first line that is not complete", f"{path}:{docstring.lineno}", prose.split("\n")[0])
        for paragraph in paragraphsOf(prose, docstring.lineno):
            yield from judged(path, paragraph)
    for paragraph in (*commentsOf(withoutStrings(text)), *trailingOf(text)):
        yield from judged(path, paragraph)
    if path != OWN:
        for paragraph in messagesOf(tree, set(map(id, docstrings))):
            yield from judged(path, paragraph)


def ofCython(path: str, text: str) -> Iterator[Fault]:
    for found in re.finditer(r'"""(.*?)"""', text, re.DOTALL):
        first = text.count("\n", 0, found.start()) + 1
        for paragraph in paragraphsOf(inspect.cleandoc(found.group(1)), first):
            yield from judged(path, paragraph)
    for paragraph in commentsOf(withoutStrings(text)):
        yield from judged(path, paragraph)
    for number, line in enumerate(text.split("\n"), 1):
        trailing = re.match(r"\s*[^#\s][^#\"']*  # (.*)", line)
        if trailing:
            yield from judged(path, Paragraph(number, trailing.group(1)))


def ofOther(path: str, text: str) -> Iterator[Fault]:
    """A file with comments alone: the Makefile, a configuration."""
    for paragraph in commentsOf(text):
        yield from judged(path, paragraph)


READERS = {".md": ofMarkdown, ".py": ofPython, ".pyi": ofPython, ".pyx": ofCython, ".pxd": ofCython}


def ofFile(path: pathlib.Path) -> list[Fault]:
    return ofText(str(path.relative_to(ROOT)), path.read_text())


def ofText(name: str, text: str) -> list[Fault]:
    reader = READERS.get(pathlib.PurePath(name).suffix, ofOther)
    if reader is ofMarkdown:
        text = text.split("<!-- runs -->")[0]  # bench/page.py writes the rest of its page
    return [*tooLong(name, text, isProse=reader is not ofOther), *reader(name, text)]


def tooLong(name: str, text: str, isProse: bool) -> Iterator[Fault]:
    """Rows of a table, addresses and remarks to tools cannot be broken; nor can commands of the Makefile."""
    for number, line in enumerate(text.split("\n"), 1):
        mayBe = line.startswith("|") or "https://" in line or "# type:" in line or not (isProse or line.startswith("#"))
        if len(line) > LENGTH and not mayBe:
            yield Fault(f"a line of more than {LENGTH} characters", f"{name}:{number}", line)


def files() -> list[pathlib.Path]:
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "setup.py")]
    found += [
        ROOT / "docs" / "bench" / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "howto").glob("*.md"),
    ]
    for folder in ("src", "examples", "bench", "tests", "docs/site"):
        found += (path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxd"})
    return sorted(found)


def nameOf(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files(), ids=nameOf)
def test_prose(path: pathlib.Path) -> None:
    assert [f"{fault.place}: {fault.kind}: {fault.text}" for fault in ofFile(path)] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ('"say" for "for example"', "A pipe stays open as long as any process has it, a child say."),
        ('"say" for "for example"', "Some file, say, that is missing."),
        ('"has gone"', "It ends when the peer has gone."),
        ('"told of"', "The protocol is told of the end."),
        ("a free subject", "It serves whoever connects."),
        ("a free subject", "What was written is sent."),
        ("a free subject", "It ends. Who waits for it is woken."),
        ("a free subject", "- What a bullet says."),
        ("a document that is not in the tree", "See S8 for the reason."),
        ("a document that is not in the tree", "As RELIABILITY has it."),
        ("double backticks", "Names of ``twisted.internet``."),
        ("more than 25 words", "A line has " + "a word " * 12 + "here."),
        ("a cell of more than 15 words", "| name | " + "word " * 16 + "|"),
        ("a line of more than 120 characters", "x" * 121),
    ],
)
def test_aFaultIsFound(kind: str, text: str) -> None:
    assert [fault.kind for fault in ofText("page.md", text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "The reactor calls it, for example at the end. No peer is left. What is it?",
        "# What counts\n\nA way to crash a program.",
        "```\nWhat is code, say, has no rules\n```",
        "The names `one`, `two` and `three` " + "are in " * 10 + "a row.",
        "| name | `" + "`, `".join("abcdefghijklmnopqrst") + "` |",
        "A list of items:\n\n- " + "one word " * 12 + "\n- " + "one word " * 12,
        "UTF-8, IPv6, RFC 9110, 3.2. They say so.",
    ],
)
def test_goodTextPasses(text: str) -> None:
    assert ofText("page.md", text) == []


def test_everyKindOfTextIsRead() -> None:
    """Docstrings, comments of both places, error messages and their f-strings, with the lines where they stand."""
    program = '''"""What the module is."""

# Who reads this.
x = 1  # of the peer, say


def f(number: int) -> None:
    """Return a thing,
    over two lines.
    """
    raise ValueError(f"whoever gave {number} is wrong here", "# a text is no comment, says the reader")
'''
    assert [(fault.place, fault.kind) for fault in ofText("module.py", program)] == [
        ("module.py:1", "a free subject"),
        ("module.py:8", "a first line that is not complete"),
        ("module.py:3", "a free subject"),
        ("module.py:4", '"say" for "for example"'),
        ("module.py:11", "a free subject"),
    ]
    core = 'cdef class C:\n    """Who calls."""\n    cdef int x  # the mark, say\n    # What follows.\n'
    assert [fault.place for fault in ofText("core.pyx", core)] == ["core.pyx:2", "core.pyx:4", "core.pyx:3"]
    assert [fault.place for fault in ofText("Makefile", "all:\n# What it does.\n\t@echo say, hello\n")] == [
        "Makefile:2"
    ]


def test_programsAndDataAreNoProse() -> None:
    """Strings that are run, listed or repeated may read as they like; the text beside them may not."""
    module = '''
PROGRAM = """
import what
print("Whoever reads this", "a child say.")
"""
NAMES = """Who What Whoever
    Nobody"""
VERSES = "Who sends it late is late.\\n" * 3
TEXT = """Who reads this text,
reads two lines of it."""
'''
    assert [(fault.place, fault.text) for fault in ofText("module.py", module)] == [
        ("module.py:9", "Who reads this text, reads two lines of it.")
    ]
