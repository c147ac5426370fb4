"""Rotation: when it is due, the names, what is kept and compressed, and several processes at it at once."""

from __future__ import annotations

import errno
import fcntl
import gzip
import itertools
import os
import pathlib
import stat
import time
from typing import Any

import pytest

from reactor.serving.collecting.appending import AppendedFile
from reactor.serving.collecting.rotating import Rotation, compressFile, rotatedFiles, rotatedName, tidy
from reactor.serving.framing import Framing

NOON = 1_000_000_000.0 // 86400 * 86400 + 43200  # of 2001-09-09, in UTC


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lines.txt"


def contents(path: pathlib.Path) -> list[bytes]:
    """The rotated files, the oldest first, and the present one."""
    found = []
    for each in rotatedFiles(str(path)):
        data = pathlib.Path(each).read_bytes()
        found.append(gzip.decompress(data) if each.endswith(".gz") else data)
    return [*found, path.read_bytes()]


def test_bySize(path: pathlib.Path) -> None:
    """No file gets longer, unless one write alone is. An empty file is never rotated."""
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=10))
    calls = list[int]()
    file.rotated = lambda: calls.append(1)
    for text in (b"123\n", b"456\n", b"a\n", b"b\n", b"a longer one\n", b"c\n"):
        assert file.append(text) == (len(text), None)
    assert contents(path) == [b"123\n456\na\n", b"b\n", b"a longer one\n", b"c\n"]
    assert file.rotationCount == len(calls) == 3
    file.close()


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("size", [1, 7, 20, 64])
def test_aBatchIsCutAtItsLines(size: int, delimiter: bytes, path: pathlib.Path) -> None:
    """However many lines a write has, no file gets longer than the size, but for a line that is longer alone."""
    file = AppendedFile(str(path), Framing(delimiter, delimiter), rotation=Rotation(size=size))
    lines = [b"x" * (number * 7 % 23) for number in range(60)]
    for start in range(0, 60, 20):
        data = file.framing.join(lines[start : start + 20])
        assert file.append(data) == (len(data), None)
    file.close()
    files = contents(path)
    assert b"".join(files) == Framing(delimiter, delimiter).join(lines)
    for each in files:
        assert each.endswith(delimiter)
        assert len(each) <= size or Framing(delimiter, delimiter).whole(each[:-1]) == 0
    for before, after in itertools.pairwise(files):
        first = after[: after.index(delimiter) + len(delimiter)]
        assert len(before) + len(first) > size, "a file is filled before the next one begins"


def test_aBatchStaysWholeWithoutRotation(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system refuses the next file, the rest goes into the present one, at once."""
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=5))

    def refuse(found: object) -> int:
        raise OSError(errno.EACCES, "no")

    monkeypatch.setattr(file, "_rotate", refuse)
    assert file.append(b"one\ntwo\nthree\n") == (14, None)
    assert contents(path) == [b"one\ntwo\nthree\n"]
    file.close()


def test_byTime(path: pathlib.Path) -> None:
    """At multiples of the period in UTC, before the first write of a new one; also across the end of a process."""
    now = [NOON]
    rotation = Rotation(every=3600, now=lambda: now[0])

    def write(text: bytes, at: float) -> None:
        now[0] = NOON + at
        file.append(text)
        os.utime(path, (now[0], now[0]))

    file = AppendedFile(str(path), Framing(), rotation=rotation)
    write(b"a\n", 0)
    write(b"b\n", 3599.5)
    write(b"c\n", 3600)
    write(b"d\n", 3601)
    write(b"e\n", 4 * 3600 + 1)
    file.close()
    now[0] = NOON + 5 * 3600
    file = AppendedFile(str(path), Framing(), rotation=rotation)
    file.append(b"f\n")
    file.close()
    assert contents(path) == [b"a\nb\n", b"c\nd\n", b"e\n", b"f\n"]
    assert [os.path.basename(each) for each in rotatedFiles(str(path))] == [
        "lines.txt.20010909T130000.000000Z",
        "lines.txt.20010909T160001.000000Z",
        "lines.txt.20010909T170000.000000Z",
    ]


def test_aFileThatIsWrittenAtTheVeryEndOfAPeriod() -> None:
    """The kernel's time lags behind the clock: the file's new time may still be in the old period."""
    found: Any = os.stat_result((0, 0, 0, 0, 0, 0, 5, 0, int(NOON) - 1, 0, 0.0, NOON - 0.004, 0.0, 0, 0, 0))
    assert found.st_mtime == NOON - 0.004
    assert not Rotation(every=3600, now=lambda: NOON + 0.001).isDue(found, 1)


def test_namesAreFree(path: pathlib.Path) -> None:
    names = []
    for suffix in ("", ".gz", ""):
        names.append(rotatedName(str(path), NOON))
        pathlib.Path(names[-1] + suffix).touch()
    assert [name[-7:] for name in names] == ["000000Z", "000001Z", "000002Z"]
    assert len(rotatedFiles(str(path))) == 3


def test_whichFilesAreItsOwn(path: pathlib.Path) -> None:
    """The files of another name, and a user's own, are never touched."""
    names = ["lines.txt.bak", "lines.txt.20010909T120000.000000Z.orig", "other.20010909T120000.000000Z", "lines.txt.1"]
    for name in [*names, "lines.txt.20010909T120000.000000Z", "lines.txt.20010909T120000.000001Z.gz"]:
        (path.parent / name).write_bytes(b"x")
    tidy(str(path), 0, True)
    assert sorted(os.listdir(path.parent)) == sorted(names)


def test_anotherProcessHasRotated(path: pathlib.Path) -> None:
    """The others see it before their next write, and follow; so they do when somebody moves the file by hand."""
    rotation = Rotation(size=10)
    files = [AppendedFile(str(path), Framing(), shared=True, rotation=rotation) for _ in range(3)]
    for number in range(9):
        files[number % 3].append(b"line%d\n" % number)
    os.rename(path, path.parent / "moved")
    files[0].append(b"after\n")
    for file in files:
        file.close()
    assert sum(file.rotationCount for file in files) == 8
    assert contents(path)[-1] == b"after\n"
    assert b"".join(contents(path)[:-1]) + (path.parent / "moved").read_bytes() == b"".join(
        b"line%d\n" % number for number in range(9)
    )


def test_ownerAndModeStay(path: pathlib.Path) -> None:
    path.write_bytes(b"12345678\n")
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 1234, 5678)
    before = path.stat()
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=10, compress=True))
    file.append(b"next\n")
    tidy(str(path), None, True)
    file.close()
    (rotated,) = rotatedFiles(str(path))
    assert rotated.endswith("Z.gz")
    for each in (path.stat(), os.stat(rotated)):
        assert (each.st_uid, each.st_gid, each.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.stat(rotated).st_mtime == before.st_mtime
    assert sorted(os.listdir(path.parent)) == sorted([path.name, os.path.basename(rotated)])


@pytest.mark.parametrize("call", ["open", "rename"])
def test_aRotationThatFails(
    path: pathlib.Path, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file goes on, one record says so, and it is tried again after a while."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=5))
    real = getattr(os, call)

    def fail(*arguments: Any, **options: Any) -> Any:
        if str(arguments[0]).startswith(str(path)):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for _ in range(3):
            assert file.append(b"text\n").error is None
    (record,) = caplog.records
    assert record.getMessage().startswith(f"cannot rotate {path}, and go on with it for 60 s: ")
    assert os.listdir(path.parent) == [path.name]
    file.append(b"text\n")
    assert os.listdir(path.parent) == [path.name]
    now[0] += 61
    file.append(b"next\n")
    file.close()
    assert contents(path) == [b"text\n" * 4, b"next\n"]


@pytest.mark.parametrize("hasRotated", [False, True])
def test_theNewFileIsTakenByAnother(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, hasRotated: bool) -> None:
    """Another process opens the path in the moment between the two names: both go on in its file.

    It may have removed the new name, too, as it rotates. That is no failure, and no rotation is left uncounted.
    """
    rotation = Rotation(size=5)
    file = AppendedFile(str(path), Framing(), shared=True, rotation=rotation)
    file.append(b"text\n")
    others = list[AppendedFile]()
    link = os.link

    def linkLate(*arguments: Any) -> None:
        if not others:
            others.append(AppendedFile(str(path), Framing(), shared=True, rotation=rotation))
            if hasRotated:
                os.unlink(str(path) + ".next")
        link(*arguments)

    monkeypatch.setattr(os, "link", linkLate)
    file.append(b"one\n")
    others[0].append(b"\n")
    file.close()
    others[0].close()
    assert file.rotationCount == 1
    assert contents(path) == [b"text\n", b"one\n\n"]
    assert not (path.parent / "lines.txt.next").exists()


def test_noHardLinks(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=5))
    for text in (b"one\n", b"two\n"):
        file.append(text)
    file.close()
    assert contents(path) == [b"one\n", b"two\n"]


def test_theRestOfAKilledRotation(path: pathlib.Path) -> None:
    """It was killed when the new file had two names: the present file is not emptied by the next rotation."""
    path.write_bytes(b"text\n")
    os.link(path, str(path) + ".next")
    file = AppendedFile(str(path), Framing(), rotation=Rotation(size=5))
    file.append(b"next\n")
    file.close()
    assert contents(path) == [b"text\n", b"next\n"]


def rotated(path: pathlib.Path, number: int) -> pathlib.Path:
    found = pathlib.Path(rotatedName(str(path), NOON + number))
    found.write_bytes(b"%d" % number)
    return found


def test_tidying(path: pathlib.Path) -> None:
    """The newest stay, compressed; those of a process that was killed before it had come to them, too."""
    path.write_bytes(b"now")
    old = [rotated(path, number) for number in range(5)]
    compressFile(str(old[1]))
    pathlib.Path(f"{old[4]}.gz.tmp").write_bytes(b"half a file")
    tidy(str(path), 4, True)
    assert contents(path) == [b"1", b"2", b"3", b"4", b"now"]
    assert all(each.endswith(".gz") for each in rotatedFiles(str(path)))
    assert len(os.listdir(path.parent)) == 5
    tidy(str(path), 2, False)
    assert contents(path) == [b"3", b"4", b"now"]


def test_aFileIsCompressedByOneProcess(path: pathlib.Path) -> None:
    """While one is at it, others leave it alone; nor do they if it has just finished."""
    file = rotated(path, 1)
    with open(f"{file}.gz.tmp", "wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        compressFile(str(file))
        assert file.exists()
        assert not pathlib.Path(f"{file}.gz").exists()
    compressFile(str(file))
    assert not file.exists()
    compressFile(str(file))  # as one who has listed it before
    assert [each.name for each in path.parent.iterdir()] == [f"{file.name}.gz"]


def test_anotherProcessFinishesMeanwhile(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our opening of the unfinished file and our lock on it."""
    file = rotated(path, 1)
    flock = fcntl.flock
    calls = list[int]()

    def late(fd: int, how: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            compressFile(str(file))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    compressFile(str(file))
    assert [each.name for each in path.parent.iterdir()] == [f"{file.name}.gz"]
    assert gzip.decompress(pathlib.Path(f"{file}.gz").read_bytes()) == b"1"


def test_aDiskThatIsFullForTheCompressedFile(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = rotated(path, 1)

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        tidy(str(path), None, True)
    assert [each.name for each in path.parent.iterdir()] == [file.name]
    assert stat.S_ISREG(file.stat().st_mode)
