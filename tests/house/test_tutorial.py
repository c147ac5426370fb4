"""docs/tutorial.md: a reader who writes its files and types its commands sees what the page shows."""

from __future__ import annotations

import pathlib
import shlex
import subprocess

import pytest

from tests.house.test_docs import PAGES
from tests.support.walkthroughs import DEADLINE, Walk

PAGE = PAGES["docs/tutorial.md"]


def client(walk: Walk, text: str) -> None:
    """The command of the page talks over TLS, and takes no other certificate."""
    command = shlex.split(text.replace("\\\n", ""))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=walk.folder, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"ann\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == [b"Your name?\n", b"Welcome, ann\n"]
        process.kill()


def install(walk: Walk, text: str) -> None:
    """The environment is made. The last command is that of the README, with a path in place of the checkout."""
    *lines, last = text.strip().splitlines()
    made = [line.replace("-m venv", "-m venv --without-pip") for line in lines]
    told = walk.run(" && ".join([*made, "python -c 'import sys; print(sys.prefix)'"]))
    assert told == f"{walk.folder / 'tutorial' / '.venv'}\n"
    head, _, path = last.rpartition(" ")
    assert path.startswith("~/")
    assert f"{head} .\n" in PAGES["README.md"]


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.needs("netcat-openbsd", "openssl", "bash")
def test_theTutorial(tmp_path: pathlib.Path) -> None:
    with Walk(PAGE, tmp_path, {"client": client, "install": install}) as walk:
        walk.go()
