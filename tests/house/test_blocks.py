"""Every code block of README and docs belongs to a test: a test walks through its page, or asks for it by its mark.

A block without either fails here. It is then a text that nobody has run.
"""

from __future__ import annotations

import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from reactor.serving.options import makeParser
from tests.house.test_docs import PAGES
from tests.house.test_howtos import CHECKS, PAGES_TOO, WALKED
from tests.support.tlsworlds import certificatePath
from tests.support.walkthroughs import DEADLINE, Walk, stepsOf

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOUSE = "".join(path.read_text() for path in sorted((ROOT / "tests" / "house").glob("test_*.py")))
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
WALKS = {"docs/tutorial.md", *WALKED, *PAGES_TOO}

# Blocks without a mark, and the test that takes all blocks of the kind from the page.
BY_KIND = {
    ("README.md", "python"): "test_serverAndClient",  # and its neighbours: their module unpacks all that there are
    ("README.md", "sh"): "test_linesOfTheReadme",
    ("docs/command.md", "sh"): "test_commandLines",
    ("docs/command.md", "toml"): "test_theConfigurationOfTheCommandsPage",
    ("docs/services.md", "sh"): "test_commandLinesOfServices",
    ("docs/services.md", ""): "test_theMistake",
    ("docs/bench/README.md", "sh"): "test_commandLinesOfTheBenchmark",
}


def unclaimed(name: str, page: str) -> Iterator[str]:
    """The blocks of a page that no test asks for: the language and the line of each."""
    walked = {step.text for step in stepsOf(page)} if name in WALKS else set()
    for found in BLOCK.finditer(page):
        language, text = found.groups()
        if text in walked or (name, language) in BY_KIND:
            continue
        marks: list[str] = []
        for mark in re.findall(r"<!-- (/?[\w-]+) -->", page[: found.start()]):
            if not mark.startswith("/"):
                marks.append(mark)
            elif mark[1:] in marks:
                marks.remove(mark[1:])
        if not any(isAskedFor(mark) for mark in marks):
            yield f"{name}:{page.count(chr(10), 0, found.start()) + 1} ({language})"


def isAskedFor(mark: str) -> bool:
    """Whether a test names the mark, whole or behind the page's part of it, as in `between(PAGE, f"http-{mark}")`."""
    head, _, rest = mark.partition("-")
    return f'"{mark}"' in HOUSE or (f'f"{head}-{{' in HOUSE and f'"{rest}"' in HOUSE)


@pytest.mark.parametrize("name", [*PAGES, "docs/bench/README.md"])
def test_everyBlockHasATest(name: str) -> None:
    assert list(unclaimed(name, PAGES.get(name) or (ROOT / name).read_text())) == []


@pytest.mark.parametrize("name", sorted(WALKS))
def test_everyFileHasItsNameInSight(name: str) -> None:
    """The mark is a comment, so the paragraph before it names the file for readers."""
    page = PAGES[name]
    for found in re.finditer(r"<!-- file (\S+) -->", page):
        before = page[: found.start()].rstrip().split("\n\n")[-1]
        assert f"`{found[1]}`" in before, found[1]


def test_everyCheckIsThere() -> None:
    """The marks of pages that are walked through name checks that exist, and no check is left over."""
    named = {
        step.arguments[0] for name in (*WALKED, *PAGES_TOO) for step in stepsOf(PAGES[name]) if step.kind == "check"
    }
    assert named == set(CHECKS)


@pytest.mark.parametrize(
    "page",
    ["# Page\n\n```python\nx = 1\n```\n", "<!-- unknown-mark -->\n```sh\nls\n```\n<!-- /unknown-mark -->\n"],
)
def test_aBlockWithoutATestIsFound(page: str) -> None:
    assert len(list(unclaimed("docs/page.md", page))) == 1


def test_theTestsByKindExist() -> None:
    for test in BY_KIND.values():
        assert f"def {test}(" in HOUSE, test


def blocksOf(name: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(PAGES.get(name) or (ROOT / name).read_text()) if kind == language]


def linesOf(name: str) -> list[str]:
    """The commands of a page, without their remarks."""
    text = "".join(blocksOf(name, "sh"))
    return [line for line in (re.sub(r"(?:^| +)#.*", "", line) for line in text.splitlines()) if line]


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.needs("bash", "netcat-openbsd")
def test_linesOfTheReadme(tmp_path: pathlib.Path) -> None:
    """`make` and `linereactor` have tests of their own. A server answers the line with `nc`."""
    lines = [line for line in linesOf("README.md") if not line.startswith(("make ", "linereactor "))]
    assert lines == ["printf 'hello\\r\\n' | nc -q1 127.0.0.1 7000", "python -m pip install ."]
    page = "<!-- start 7000 -->\n```sh\nlinereactor serve --port 7000\n```\n"
    with Walk(f"{page}<!-- try -->\n```console\n$ {lines[0]}\nhello\r\n```\n", tmp_path) as walk:
        walk.go()


def test_theConfigurationOfTheCommandsPage(tmp_path: pathlib.Path) -> None:
    """`linereactor check` takes it, as soon as the files that it names are there."""
    (text,) = blocksOf("docs/command.md", "toml")
    text = text.replace("/var/log/", "").replace("unix:/run/", "unix:")
    (tmp_path / "lines.toml").write_text(text)
    (tmp_path / "server.pem").write_bytes(pathlib.Path(certificatePath()).read_bytes())
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "devices.py").write_text(
        "from reactor import Factory, Protocol\n"
        "def makeFactory(database, strict):\n"
        "    assert (database, strict) == ('devices.db', True)\n"
        "    return Factory.forProtocol(Protocol)\n"
    )
    command = [sys.executable, "-m", "reactor", "check", "--config", "lines.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_commandLinesOfServices() -> None:
    lines = linesOf("docs/services.md")
    assert len(lines) == 3
    for line in lines:
        makeParser().parse_args(shlex.split(line)[1:])


def test_commandLinesOfTheBenchmark() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = linesOf("docs/bench/README.md")
    assert lines
    assert {shlex.split(line)[:1][0] for line in lines} == {"make"}
    assert {shlex.split(line)[1] for line in lines} <= set(targets)
