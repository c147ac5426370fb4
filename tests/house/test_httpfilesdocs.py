"""The program of docs/http.md that serves files, and its dialogue with curl: both run as they stand there."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts, stop

PAGE = PAGES["docs/http.md"]


@pytest.mark.needs("curl")
def test_filesAndCurl(tmp_path: pathlib.Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", between(PAGE, "http-files"), re.DOTALL)
    (dialogue,) = re.findall(r"```console\n(.*?)```", between(PAGE, "http-files-dialogue"), re.DOTALL)
    (tmp_path / "public" / "pictures").mkdir(parents=True)
    (tmp_path / "public" / "hello.txt").write_text("hello, world\n")
    os.utime(tmp_path / "public" / "hello.txt", (1e9, 1e9))
    (port,) = freePorts(1)
    command = [sys.executable, "-c", program.replace("7000", str(port))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        connected(process, port).close()
        heard = ""
        for line in re.findall(r"^\$ (.*)$", dialogue, re.MULTILINE):
            told = line.replace("7000", str(port))
            done = subprocess.run(told, shell=True, capture_output=True, text=True, timeout=DEADLINE, cwd=tmp_path)
            heard += f"$ {line}\n{done.stdout.replace(str(port), '7000')}"
        assert heard == dialogue
        stop(process)
    finally:
        process.kill()
        process.communicate()
