"""`linereactor port`: which files are read, how one is replaced, and what is told."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from reactor.__main__ import main
from reactor.porting import Report, filesOf, portPaths
from reactor.porting.files import replace

BEFORE = b"from twisted.internet import reactor, defer\nreactor.run()\n"
AFTER = b"import reactor\nfrom reactor import defer\nreactor.run()\n"
LEFT = b"from twisted.web import client\n"


def put(folder: pathlib.Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_whichFiles(tmp_path: pathlib.Path) -> None:
    read = {"a.py": b"", "b/c.py": b"", "b/d.tac": b"", "b/e.pyi": b"", "script": b"#!/usr/bin/env python3\n"}
    others = {"f.txt": b"", "g": b"#!/bin/sh\n", ".git/h.py": b"", ".tox/i.py": b"", "venv/j.py": b""}
    others |= {"own/pyvenv.cfg": b"", "own/lib/k.py": b"", "b/__pycache__/l.py": b"", "m/site-packages/n.py": b""}
    put(tmp_path, read | others)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    found = [os.path.relpath(path, tmp_path) for path in filesOf(str(tmp_path), [])]
    assert found == sorted(read, key=lambda name: (name.count("/"), name))
    assert list(filesOf(str(tmp_path / "f.txt"), [])) == [str(tmp_path / "f.txt")]


def run(*paths: Any, write: bool = False) -> tuple[Report, list[str], str]:
    told: list[str] = []
    shown: list[str] = []
    report = portPaths(map(str, paths), write, told.append, shown.append)
    return report, told, "".join(shown)


def test_nothingIsWrittenWithoutLeave(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"a.py": BEFORE})
    report, told, shown = run(tmp_path)
    assert (report.files, len(report.changed), report.isWhole, told) == (1, 1, True, [])
    assert (tmp_path / "a.py").read_bytes() == BEFORE
    assert "-from twisted.internet import reactor, defer\n+import reactor\n+from reactor import defer\n" in shown


@pytest.mark.needs("git")
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_theDiffCanBeApplied(tmp_path: pathlib.Path, end: bytes) -> None:
    data = (
        b"x = '\xff'\n# coding\n".replace(b"\xff", "ü".encode())
        + BEFORE.replace(b"\n", end or b"\n").removesuffix(end)
        + end
    )
    put(tmp_path, {"a.py": data})
    _, _, shown = run(tmp_path / "a.py")
    folder = tmp_path / "b"
    put(folder, {str(tmp_path / "a.py").lstrip("/"): data})
    applied = subprocess.run(["git", "apply", "-"], input=shown.encode(), cwd=folder, capture_output=True, check=False)
    assert (applied.returncode, applied.stderr) == (0, b"")
    run(tmp_path / "a.py", write=True)
    assert (folder / str(tmp_path / "a.py").lstrip("/")).read_bytes() == (tmp_path / "a.py").read_bytes() != data


def test_writing(tmp_path: pathlib.Path) -> None:
    """The mode stays, a link stays a link, each file is read once, and a second time changes nothing."""
    put(tmp_path, {"a.py": BEFORE, "c.py": b"x = 1\n"})
    (tmp_path / "a.py").chmod(0o751)
    (tmp_path / "b.py").symlink_to("a.py")
    before = (tmp_path / "c.py").stat()
    report, _, _ = run(tmp_path, tmp_path / "a.py", write=True)
    assert (report.files, len(report.changed)) == (2, 1)
    assert (tmp_path / "a.py").read_bytes() == AFTER
    assert (tmp_path / "a.py").stat().st_mode & 0o7777 == 0o751
    assert (tmp_path / "b.py").is_symlink()
    assert (tmp_path / "c.py").stat().st_ino == before.st_ino
    assert sorted(os.listdir(tmp_path)) == ["a.py", "b.py", "c.py"]
    assert run(tmp_path, write=True)[0].changed == []


def test_aFileThatCannotBeReplacedStays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {"a.py": BEFORE, "b.py": BEFORE})

    def refuse(source: str, target: str) -> None:
        if target.endswith("a.py"):
            raise OSError(30, "Read-only file system")
        os.rename(source, target)

    monkeypatch.setattr("os.replace", refuse)
    report, told, _ = run(tmp_path, write=True)
    assert told == [f"{tmp_path}/a.py: Read-only file system"]
    assert (tmp_path / "a.py").read_bytes() == BEFORE
    assert (tmp_path / "b.py").read_bytes() == AFTER
    assert (report.errors, report.isWhole, sorted(os.listdir(tmp_path))) == (1, False, ["a.py", "b.py"])


def test_replaceOfALink(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"far/a.py": b"1"})
    (tmp_path / "link.py").symlink_to("far/a.py")
    replace(str(tmp_path / "link.py"), b"2")
    assert (tmp_path / "far" / "a.py").read_bytes() == b"2"
    assert os.listdir(tmp_path / "far") == ["a.py"]


def test_otherFilesAreDone(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"a.py": b"def", "b.py": BEFORE, "c.py": b"x = '\xff'", "d.py": LEFT})
    report, told, _ = run(tmp_path, tmp_path / "missing.py", write=True)
    assert (tmp_path / "b.py").read_bytes() == AFTER
    assert (report.left, report.errors) == (1, 3)
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in told] == [
        "a.py",
        "c.py",
        "d.py:1:25",
        "missing.py",
    ]


def test_aModuleThatHidesThePackage(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"reactor.py": b"", "a.py": BEFORE, "p/__init__.py": b"", "p/reactor.py": b"", "p/b.py": BEFORE})
    report, told, _ = run(tmp_path)
    assert report.left == 1
    assert told[0].startswith(f"{tmp_path}/a.py:1:1: reactor: rename {tmp_path}/reactor.py")


def test_command(tmp_path: pathlib.Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put(tmp_path, {"a.py": BEFORE, "b.py": LEFT})
    assert main(["port", str(tmp_path / "a.py")]) == 0
    out, err = capfdbinary.readouterr()
    assert b"+import reactor\n" in out
    assert err == b"1 files read, 1 to port, 0 names left, 0 errors\n"
    assert main(["port", "--write", str(tmp_path)]) == 1
    out, err = capfdbinary.readouterr()
    assert err.startswith(f"{tmp_path}/b.py:1:25: twisted.web.client: reactor.http.Client".encode())
    assert (tmp_path / "a.py").read_bytes() == AFTER
    with pytest.raises(SystemExit) as caught:
        main(["port"])
    assert caught.value.code == 2


def test_theCommandLoadsNothingOfItForOthers() -> None:
    program = (
        "import reactor.__main__, sys; "
        "print([name for name in sys.modules if name.startswith(('reactor.porting', 'reactor.compat'))])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"
