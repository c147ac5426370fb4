"""Tests of `make changelog` and `make release-check`."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

import reactor

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = ("added", "changed", "deprecated", "removed", "fixed", "security")
CHECK = ROOT / ".ci" / "checkrelease.py"
KEPT = {"README.md", "template.jinja"}

CHANGELOG = """\
# Changelog

<!-- make changelog writes below this line -->

## [1.2.0] - 2026-01-02

### Fixed

- Something old.
"""

WRITTEN = """\
## [1.3.0] - 2026-03-04

### Added

- Two lines
  of news.

### Fixed

- Another one. (#7)
- A mended fault. (#12)

## [1.2.0] - 2026-01-02
"""


def run(*command: object, tree: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], cwd=tree, capture_output=True, text=True, check=False)


def towncrier(tree: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "towncrier", "build", *arguments, tree=tree)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project of this form, as it is when its version 1.2.0 is to be released."""
    (tmp_path / "changelog.d").mkdir()
    for name in KEPT:
        shutil.copy(ROOT / "changelog.d" / name, tmp_path / "changelog.d")
    settings = (ROOT / "pyproject.toml").read_text().replace("https://linereactor.example/", "https://linereactor.org/")
    (tmp_path / "pyproject.toml").write_text(settings.replace("https://code.example/", "https://code.org/"))
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "src" / "reactor").mkdir(parents=True)
    (tmp_path / "src" / "reactor" / "__init__.py").write_text('import nothing\n\n__version__ = "1.2.0"\n')
    return tmp_path


def test_ourFragmentsHaveKnownTypes() -> None:
    fragments = {path.name for path in (ROOT / "changelog.d").iterdir()} - KEPT
    assert [name for name in fragments if name.removesuffix(".md").rpartition(".")[2] not in TYPES] == []
    draft = towncrier(ROOT, "--draft", "--version", reactor.__version__)
    assert (draft.returncode, f"## [{reactor.__version__}] - " in draft.stdout) == (0, True), draft.stderr
    assert (ROOT / "CHANGELOG.md").read_text().count(CHANGELOG.splitlines()[2]) == 1


@pytest.mark.parametrize("kind", TYPES)
def test_eachTypeHasItsHeading(tree: pathlib.Path, kind: str) -> None:
    (tree / "changelog.d" / f"+word.{kind}.md").write_text("Some news.\n")
    draft = towncrier(tree, "--draft", "--version", "1.3.0")
    assert f"### {kind.capitalize()}\n\n- Some news.\n" in draft.stdout, draft.stderr


def test_aTypeThatIsNone(tree: pathlib.Path) -> None:
    (tree / "changelog.d" / "+word.improved.md").write_text("Some news.\n")
    draft = towncrier(tree, "--draft", "--version", "1.3.0")
    assert draft.returncode != 0
    assert "+word.improved.md" in draft.stderr


def test_theChangelogKeepsItsForm(tree: pathlib.Path) -> None:
    for name, text in (
        ("+lines.added.md", "Two lines\nof news.\n"),
        ("12.fixed.md", "A mended fault.\n"),
        ("7.fixed.md", "Another one.\n"),
    ):
        (tree / "changelog.d" / name).write_text(text)
    built = towncrier(tree, "--keep", "--version", "1.3.0", "--date", "2026-03-04")
    assert built.returncode == 0, built.stderr
    begin, heading, end = CHANGELOG.partition("## [1.2.0] - 2026-01-02\n")
    assert (tree / "CHANGELOG.md").read_text() == begin + WRITTEN + end
    assert heading in WRITTEN


def test_aReleaseThatLacksNothing(tree: pathlib.Path) -> None:
    checked = run(CHECK, tree, tree=ROOT)
    assert (checked.returncode, checked.stdout) == (0, "Release: nothing is missing\n"), checked.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("pyproject.toml", "https://code.org/", "https://code.example/", "is a placeholder: https://code.example/"),
        ("pyproject.toml", "https://code.org/", "https://a.code.example:8443/", "is a placeholder: https://a.code.ex"),
        ("pyproject.toml", "[project.urls]", "[project.scripts2]", "names no address"),
        ("CHANGELOG.md", "## [1.2.0] - 2026-01-02", "## [1.2.0]", "no part begins with '## [1.2.0] - ' and a date"),
        ("src/reactor/__init__.py", "1.2.0", "1.2.1", "no part begins with '## [1.2.1] - ' and a date"),
        ("CHANGELOG.md", "below this line -->\n", "below this line -->\n\n## [Unreleased]\n", "a part is [Unreleased]"),
        ("changelog.d/+word.fixed.md", "", "Some news.\n", "changelog.d/+word.fixed.md: make changelog has not taken"),
    ],
)
def test_aReleaseThatLacksSomething(tree: pathlib.Path, file: str, old: str, new: str, words: str) -> None:
    path = tree / file
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new) if old else new)
    checked = run(CHECK, tree, tree=ROOT)
    assert (checked.returncode, words in checked.stdout) == (1, True), checked.stdout + checked.stderr


def test_ourPlaceholdersAreFound() -> None:
    """As long as one is left in pyproject.toml, there is no release."""
    left = (ROOT / "pyproject.toml").read_text().count(".example/")
    checked = run(CHECK, tree=ROOT)
    assert checked.stdout.count("is a placeholder") == left
    assert checked.returncode == 1 or left == 0
