"""The site: its contents list each page, and its builder and its check do what they should.

`make docs` builds the whole, and checks it with the same program.
"""

from __future__ import annotations

import ast
import importlib
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import reactor
from tests.house.test_prose import docstringsOf

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = (DOCS / "README.md").read_text()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules that build the site and need no Sphinx."""
    names = ("build", "check", "docstrings", "reference")
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        del sys.modules[name]


def test_everyPageIsInTheContents() -> None:
    """Once each, so that a reader finds it at the side of every page."""
    listed = [
        os.path.normpath(DOCS / name) for name in re.findall(r"^- \[[^\]]+\]\(([^)]+\.md)\)", INDEX, re.MULTILINE)
    ]
    pages = {str(path) for path in DOCS.rglob("*.md") if path != DOCS / "README.md"}
    beside = {str(ROOT / name) for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
    assert sorted(listed) == sorted(pages | beside)


def test_contentsAreThoseOfTheIndex(site: dict[str, ModuleType]) -> None:
    text = "# Title\n\n## One\n\nText.\n\n- [A](a.md)\n- [B](howto/b.md): more\n\n## Two\n\n- [C](../CHANGELOG.md)\n"
    trees = re.findall(r":caption: (\w+)\n\n(.*?)\n```", site["build"].contents(text), re.DOTALL)
    assert trees == [("One", "a\nhowto/b"), ("Two", "changelog")]


def test_linksLeadToThePlacesInTheSite(site: dict[str, ModuleType]) -> None:
    build = site["build"]
    target = build.Staging().target
    page = ("docs/http.md", "http.md")
    assert target(*page, "semantics.md#lines") == "semantics.md#lines"
    assert target(*page, "#files") == "#files"
    assert target(*page, "https://example.com/x.md") == "https://example.com/x.md"
    assert target(*page, "../CHANGELOG.md") == "changelog.md"
    assert target(*page, "../examples/tlsserver.py") == "files/examples/tlsserver.py.md"
    assert target(*page, "deploy") == "files/docs/deploy/index.md"
    assert target("docs/bench/README.md", "bench/README.md", "../semantics.md") == "../semantics.md"
    assert target("CONTRIBUTING.md", "contributing.md", "docs/design.md") == "design.md"


def test_theChangelogHasWhatComesNext(site: dict[str, ModuleType]) -> None:
    text = site["build"].changelog()
    assert text.startswith((ROOT / "CHANGELOG.md").read_text().partition("<!-- make")[0])
    for path in (ROOT / "changelog.d").glob("*.*.md"):
        assert path.read_text().strip() in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Calls `f(*args)` once.", "Calls ``f(*args)`` once."),
        ("See callLater and `Deferred`.", "See :py:obj:`callLater <reactor.callLater>` and "
         ":py:obj:`Deferred <reactor.Deferred>`."),
        ("Never TimeoutError, but DNSLookupError.",
         "Never TimeoutError, but :py:obj:`DNSLookupError <reactor.error.DNSLookupError>`."),
        ("Takes *args, a_ and |b|.", r"Takes \*args, a\_ and \|b\|."),
        ("- `*`, a_", "- ``*``, a\\_"),
        ("Text:\n\n    code(*args)\n\nMore.", "Text:\n\n::\n\n    code(*args)\n\nMore."),
        ("name    Means.", "- ``name``: Means."),
    ],
)  # fmt: skip
def test_docstringsBecomeMarkup(site: dict[str, ModuleType], text: str, expected: str) -> None:
    assert "\n".join(site["docstrings"].converted(text.split("\n"))) == expected


def test_theReferenceHasEveryPublicName(site: dict[str, ModuleType]) -> None:
    pages = dict(site["reference"].pages())
    described = set(
        re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)(?:\(.*)?$", pages["api/reactor.rst"], re.MULTILINE)
    )
    assert {name.removeprefix("reactor.") for name in described} >= set(reactor.__all__)
    everything = "".join(pages.values())
    for module in site["reference"].MODULES:
        face = importlib.import_module(module)
        for name in getattr(face, "__all__", ()):
            if not isinstance(getattr(face, name), ModuleType):
                assert re.search(
                    rf"(?:{re.escape(module)}\.|`~reactor\.(?:service\.)?){name}\b|`{name}`", everything
                ), name


def test_functionsKeepTheirFirstArgument(site: dict[str, ModuleType]) -> None:
    (line,) = re.findall(r"autofunction:: reactor.listenTCP(.*)", dict(site["reference"].pages())["api/reactor.rst"])
    assert line.startswith(
        "(port: int | Binding, factory: IProtocolFactory, backlog: int = 50, interface: str | bytes = "
    )
    assert line.endswith(") -> TCPPort")


@pytest.mark.parametrize(
    ("html", "faults"),
    [
        (
            '<link rel="stylesheet" href="https://fonts.example/a.css">',
            ["page.html: loads https://fonts.example/a.css"],
        ),
        ('<script src="//cdn.example/x.js"></script>', ["page.html: loads //cdn.example/x.js"]),
        ("<style>@import 'https://a.example/b.css';</style>", ["page.html: loads https://a.example/b.css"]),
        ('<p style="background: url(http://a.example/b.png)">', ["page.html: loads http://a.example/b.png"]),
        ('<img src="missing.png">', ["page.html: missing.png is missing"]),
        ('<a href="other.html">', ["page.html: a link to other.html, which is not there"]),
        ('<a href="#nowhere">', ["page.html: a link to #nowhere, which has no such anchor"]),
        ('<p id="here"><a href="#here"></a><a href="https://example.com/">', []),
    ],
)
def test_aFaultOfTheSiteIsFound(
    site: dict[str, ModuleType], tmp_path: pathlib.Path, html: str, faults: list[str]
) -> None:
    (tmp_path / "page.html").write_text(html)
    assert list(site["check"].faults(tmp_path)) == faults


def test_aStyleSheetLoadsNothingEither(site: dict[str, ModuleType], tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.css").write_text("/* url(https://a.example/) */ b { src: url(https://fonts.example/x.woff2) }")
    assert list(site["check"].faults(tmp_path)) == ["a.css: loads https://fonts.example/x.woff2"]


def test_noDocstringHasControlCharacters() -> None:
    r"""A docstring with `\r\n` in it must be raw, or readers see a line that ends there."""
    for path in sorted((ROOT / "src" / "reactor").rglob("*.py")):
        for docstring in docstringsOf(ast.parse(path.read_text())):
            assert str(docstring.value).replace("\n", " ").isprintable(), f"{path}:{docstring.lineno}"
