"""Systems that lack something: imports, an echo over AsyncioReactor and the command's help still work."""

from __future__ import annotations

import pathlib
import select
import subprocess
import sys

import pytest

from reactor.loops.epoll import IN, OUT
from tests.support.elsewhere import ATTRIBUTES, BUILT_WITHOUT, MODULES

ROOT = pathlib.Path(__file__).resolve().parents[2]


def seen(*hidden: str) -> str:
    command = (sys.executable, "-m", "tests.support.elsewhere", *hidden)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("hidden", [*((each,) for each in MODULES), ATTRIBUTES, ("WINDOWS",)], ids=lambda each: each[0])
def test_whatIsMissing(hidden: tuple[str, ...]) -> None:
    output = seen(*hidden)
    assert output.startswith("a line\nusage: linereactor [-h]")
    if hidden[0] in ("WINDOWS", "fcntl"):
        end = "linereactor serve: a POSIX system is needed, for example Linux, and this Python has no module fcntl. Try"
        assert f"\n0\n{end} reactor.aio here\n2\n" in output
    else:
        assert output.endswith("\n0\n")


@pytest.mark.parametrize("hidden", BUILT_WITHOUT, ids=lambda each: each[0])
def test_aPythonThatWasBuiltWithoutALibrary(hidden: tuple[str, ...]) -> None:
    output = seen(*hidden)
    assert output.startswith("a line\nusage: linereactor [-h]")
    if hidden[0] == "ssl":
        assert output.endswith("\n0\nlinereactor serve: this Python has no module ssl\n1\n")
    else:
        assert output.endswith("\n0\n")


def test_theFlagsOfEpoll() -> None:
    assert (IN, OUT) == (select.EPOLLIN, select.EPOLLOUT)
