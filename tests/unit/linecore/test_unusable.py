"""A compiled core that cannot be used: the import warns, and the core in Python takes over."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

import reactor

PACKAGE = pathlib.Path(reactor.__file__).parent
PROGRAM = """
import reactor
from reactor.linecore import IMPLEMENTATION, LineBuffer

lines = LineBuffer(b"\\n")
lines.feed(b"one\\ntwo")
print(IMPLEMENTATION, list(lines))
"""


def imported(folder: pathlib.Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-S", *options, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the package, without its extensions."""
    shutil.copytree(PACKAGE, tmp_path / "reactor", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    return tmp_path


def test_withoutExtensionsNothingIsSaid(folder: pathlib.Path) -> None:
    done = imported(folder, "-W", "error")
    assert (done.stdout, done.stderr) == ("pure [b'one']\n", "")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (f"_linebuf{sysconfig.get_config_var('EXT_SUFFIX')}", "cut short", "cut short|invalid|short|ELF|Mach"),
        ("_linebuf.py", "import reactor._sending", "No module named 'reactor._sending'"),
        ("_linebuf.py", "raise ValueError('size changed')", "size changed"),
        ("_linebuf.py", "raise ImportError('a symbol is missing')", "a symbol is missing"),
        ("_linebuf.py", "Lines = None", "cannot import name"),
    ],
    ids=["noExtension", "aPartIsMissing", "ofAnotherVersion", "ofAnotherSystem", "lacksNames"],
)
def test_anExtensionThatCannotBeUsed(folder: pathlib.Path, name: str, content: str, reason: str) -> None:
    (folder / "reactor" / name).write_text(content)
    done = imported(folder)
    assert done.stdout == "pure [b'one']\n"
    (line,) = [line for line in done.stderr.splitlines() if "RuntimeWarning" in line]
    text = "RuntimeWarning: the compiled line core cannot be used: "
    assert text in line
    assert any(each in line.partition(text)[2] for each in reason.split("|"))
