"""The blocks of docs/collect.md: the commands run as they stand there, and the objects are those of the code."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from reactor.serving.collect import Collection
from reactor.serving.collecting.formats import asJSON
from reactor.serving.linefile import LineFile
from tests.house.test_docs import PAGES, between, freePorts
from tests.unit.serving.test_command import DEADLINE, Served
from tests.unit.serving.test_command_collect import until

PAGE = PAGES["docs/collect.md"]


def block(mark: str) -> str:
    (text,) = re.findall(r"```\w*\n(.*?)```", between(PAGE, f"collect-{mark}"), re.DOTALL)
    return str(text)


@pytest.mark.needs("logger", "netcat-openbsd")
def test_theCommands(tmp_path: pathlib.Path) -> None:
    """Each client's message is one line of the file."""
    ports = freePorts(2)

    def placed(text: str) -> str:
        return text.replace("7000", str(ports[0])).replace("7001", str(ports[1]))

    _name, *arguments = placed(block("run")).split()
    with subprocess.Popen(
        [sys.executable, "-m", "reactor", *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            served = Served(process)
            subprocess.run(["sh", "-e", "-c", placed(block("send"))], cwd=tmp_path, check=True, timeout=DEADLINE)
            until(lambda: (tmp_path / "lines.txt").read_bytes().count(b"\n") == 6)
            served.stop()
            assert served.wait() == 0
        finally:
            process.kill()
    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert sorted(line.split()[-1] for line in lines) == ["five", "four", "one", "six", "three", "two"]
    assert not [line for line in lines if re.match(r"\d+ <", line)]
    assert os.listdir(tmp_path) == ["lines.txt"]


def test_theObjects() -> None:
    peer, listener = "192.0.2.1:5000", "collect"
    lines = asJSON(lambda: 1_796_070_006.123456)([b"text", b"\xff"], peer, listener)
    assert block("json").encode() == b"".join(line + b"\n" for line in lines)
    assert json.loads(lines[0])["line"] == "text"


def test_theCounters() -> None:
    """The table has every counter."""
    table = PAGE.split("## Counters")[1].split("## The log")[0]
    told = set(re.findall(r"`(\w+)`", table))
    collection = Collection(LineFile(os.devnull), lambda error: None)
    assert {*collection.counters(), "datagrams", "datagramBytes", "droppedByKernel"} == told - {"application"}
    collection.output.close()
