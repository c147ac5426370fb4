"""Every example and application of the command, started without options: one port of the loopback address listens.

Each runs in a network namespace of its own, in which the system tells of every TCP, UDP and UNIX socket that listens.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.tlsworlds import certificatePath
from tests.support.worlds import DEADLINE, ROOT

SERVE = ["-m", "reactor", "serve"]
PROGRAMS = {
    **{name: [f"examples/{name}.py"] for name in ("asyncserver", "chatserver", "echoserver", "webserver")},
    **{name: [f"examples/{name}.py"] for name in ("cacheserver", "nmeaingest", "redislike", "shellserver")},
    **{name: [f"examples/{name}.py"] for name in ("dnsresponder", "statsdingest", "xmlrpcserver")},
    "fileserver": ["examples/fileserver.py", "FOLDER"],
    "ftpserver": ["examples/ftpserver.py", "FOLDER"],
    "lookupserver": ["examples/lookupserver.py"],
    "poetryserver": ["examples/poetryserver.py", "FILE"],
    "portforward": ["examples/portforward.py", "7"],
    "smtpreceiver": ["examples/smtpreceiver.py", "CERTIFICATE", "CERTIFICATE"],
    "tlsserver": ["examples/tlsserver.py", "CERTIFICATE", "CERTIFICATE"],
    "serve": SERVE,
    "serve chat": [*SERVE, "chat"],
    "serve collect": [*SERVE, "collect", "--output", "FOLDER/lines"],
    "serve files": [*SERVE, "files", "--root", "FOLDER"],
    "serve --workers": [*SERVE, "--workers", "2"],
}
# The other programs listen over TCP alone.
KINDS = {name: ["tcp", "udp"] for name in ("dnsresponder", "nmeaingest", "statsdingest")}
CLIENTS = {"dialogue", "echoclient", "oneconnection", "poetryclient"}  # these end by themselves
READY = re.compile("listening on|try:")

pytestmark = pytest.mark.needs("namespaces", "root", "ip", "ss", "nsenter")


def test_everyExampleIsHere() -> None:
    shipped = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__"}
    assert shipped == {name for name in PROGRAMS if not name.startswith("serve")} | CLIENTS


@contextlib.contextmanager
def started(name: str, folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, from the moment at which it says that it listens."""
    (folder / "file").write_text("a line\n")
    places = {"FOLDER": str(folder), "FILE": str(folder / "file"), "CERTIFICATE": certificatePath()}
    arguments = [re.sub("^[A-Z]+", lambda found: places.get(found[0], found[0]), each) for each in PROGRAMS[name]]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *arguments]
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + DEADLINE
        while not READY.search(said.read_text()):
            assert time.monotonic() < end, said.read_text()
            assert process.poll() is None, said.read_text()
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_onlyWhatIsAskedFor(name: str, tmp_path: pathlib.Path) -> None:
    with started(name, tmp_path) as process:
        command = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "ss", "-lntuxH"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    kinds = sorted({line.split()[0] for line in found})
    assert kinds == KINDS.get(name, ["tcp"]), found
    (place,) = {line.split()[4] for line in found}
    assert place.startswith("127.0.0.1:")


def test_anotherSocketWouldBeSeen(tmp_path: pathlib.Path) -> None:
    """Of each kind."""
    code = """
import socket
TCP, UDP = socket.create_server(("0.0.0.0", 7001)), socket.socket(type=socket.SOCK_DGRAM)
UDP.bind(("", 7002))
UNIX = socket.socket(socket.AF_UNIX)
UNIX.bind("\\0here")
UNIX.listen()
import subprocess
print(subprocess.run(["ss", "-lntuxH"], capture_output=True, text=True, check=True).stdout)
"""
    command = ["unshare", "--net", sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert {line.split()[4] for line in found.splitlines() if line} == {"0.0.0.0:7001", "0.0.0.0:7002", "@here"}
