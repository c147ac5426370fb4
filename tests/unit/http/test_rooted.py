"""Paths of requests lead to regular files below the root, and to nothing else."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.http import rooted
from reactor.http.rooted import MAX_LINKS, namesOf, openBelow, openFile

SECRET = b"the secret"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A root with a file and a directory, and beside it a file that no path may lead to."""
    folder = tmp_path / "root"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "file").write_bytes(b"file")
    (folder / "inner" / "file").write_bytes(b"inner")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(SECRET)
    return folder


def contentOf(root: pathlib.Path, *names: bytes) -> bytes | list[str]:
    """The bytes of a file, the names in a directory."""
    opened = openBelow(str(root), names)
    try:
        if not opened.isDirectory:
            return os.pread(opened.fd, 100, 0)
        listed = rooted.openListed(opened.fd)
        try:
            return sorted(os.listdir(listed))
        finally:
            os.close(listed)
    finally:
        os.close(opened.fd)


def refusedWith(root: pathlib.Path, *names: bytes) -> int | None:
    try:
        found = contentOf(root, *names)
    except OSError as error:
        return error.errno
    pytest.fail(f"{names} lead to {found!r}")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (b"/", [b""]),
        (b"/a", [b"a"]),
        (b"/a/", [b"a", b""]),
        (b"/a/b.c", [b"a", b"b.c"]),
        (b"/a%20b/%c3%A4", [b"a b", b"\xc3\xa4"]),
        (b"/%252e%252e", [b"%2e%2e"]),  # decoded once
        (b"/%zz%", [b"%zz%"]),
        (b"/a+b", [b"a+b"]),
        (b"/~a", [b"~a"]),
        (b"/...", None),
        (b"", None),
        (b"*", None),
        (b"a", None),
        (b"//", None),
        (b"//host", None),
        (b"/a//b", None),
        (b"/a//", None),
        (b"/.", None),
        (b"/..", None),
        (b"/../outside/secret", None),
        (b"/a/../b", None),
        (b"/a/..", None),
        (b"/%2e%2e/outside/secret", None),
        (b"/.%2E/outside", None),
        (b"/%2e/", None),
        (b"/a%2fb", None),
        (b"/%2Fetc%2Fpasswd", None),
        (b"/..%2f..%2fetc", None),
        (b"/a\\b", None),
        (b"/..\\..\\etc", None),
        (b"/%5c", None),
        (b"/..%5c", None),
        (b"/a%00.html", None),
        (b"/a\0", None),
        (b"/.git/config", None),
        (b"/a/.htpasswd", None),
        (b"/%2ehtpasswd", None),
    ],
)
def test_namesOfAPath(path: bytes, names: list[bytes] | None) -> None:
    assert namesOf(path) == names


def test_hiddenNames() -> None:
    assert namesOf(b"/.well-known/x", hidden=True) == [b".well-known", b"x"]
    assert namesOf(b"/...", hidden=True) == [b"..."]
    for path in (b"/..", b"/.", b"/a/../b", b"/%2e%2e/b"):
        assert namesOf(path, hidden=True) is None


def test_filesAndDirectories(root: pathlib.Path) -> None:
    assert contentOf(root) == ["file", "inner"]
    assert contentOf(root, b"") == ["file", "inner"]
    assert contentOf(root, b"file") == b"file"
    assert contentOf(root, b"inner") == contentOf(root, b"inner", b"") == ["deep", "file"]
    assert contentOf(root, b"inner", b"file") == b"inner"
    assert refusedWith(root, b"other") == errno.ENOENT
    assert refusedWith(root, b"file", b"") == errno.ENOTDIR
    assert refusedWith(root, b"file", b"file") == errno.ENOTDIR
    assert refusedWith(root, b"x" * 300) == errno.ENAMETOOLONG
    assert refusedWith(root / "other") == errno.ENOENT
    assert refusedWith(root / "file") == errno.ENOTDIR


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("file", ()),
        ("inner/file", ()),
        ("./inner/../file", ()),
        ("inner/deep/../../file", ()),
        ("inner", (b"file",)),
        ("inner/", (b"file",)),
        ("{root}/inner/file", ()),
        ("{root}", (b"inner", b"file")),
        ("{root}/", (b"file",)),
        ("link2", ()),
        (".", (b"file",)),
    ],
)
def test_linksInside(root: pathlib.Path, target: str, names: tuple[bytes, ...]) -> None:
    (root / "link").symlink_to(target.format(root=root))
    (root / "link2").symlink_to("file")
    assert contentOf(root, b"link", *names) == (root / "link").joinpath(*map(os.fsdecode, names)).read_bytes()


def test_linksFromFurtherDown(root: pathlib.Path) -> None:
    (root / "inner" / "deep" / "absolute").symlink_to(root / "inner" / "file")
    (root / "inner" / "deep" / "relative").symlink_to("../../file")
    assert contentOf(root, b"inner", b"deep", b"absolute") == b"inner"
    assert contentOf(root, b"inner", b"deep", b"relative") == b"file"


@pytest.mark.parametrize(
    "target",
    [
        "..",
        "../outside",
        "../outside/secret",
        "inner/../../outside/secret",
        "/",
        "{outside}/secret",
        "{root}/../outside/secret",
        "{root}side",  # a neighbour whose path begins with the root's
        "up",
        "../root",  # it comes back in, and has left on the way
    ],
)
def test_linksThatLeadOut(root: pathlib.Path, target: str) -> None:
    (root / "link").symlink_to(target.format(root=root, outside=root.parent / "outside"))
    (root / "up").symlink_to("../outside/secret")
    root.with_name("rootside").write_bytes(SECRET)
    assert (root / "link").exists()
    for names in ((b"link",), (b"link", b""), (b"link", b"secret"), (b"inner", b"..", b"link", b"outside", b"secret")):
        assert refusedWith(root, *names) in (errno.ENOENT, errno.ENOTDIR)


def test_theRootMayBeALink(root: pathlib.Path) -> None:
    """Its target may change between requests, as a deployment does it."""
    current = root.with_name("current")
    current.symlink_to("root")
    (root / "absolute").symlink_to(f"{current}/file")
    (root / "real").symlink_to(f"{root}/file")
    assert contentOf(current, b"file") == contentOf(current, b"absolute") == contentOf(current, b"real") == b"file"
    current.unlink()
    current.symlink_to("outside")
    assert contentOf(current, b"secret") == SECRET


def test_loopsOfLinks(root: pathlib.Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "here").symlink_to(".")
    (root / "more").symlink_to("more/more")
    for name in (b"one", b"more"):
        assert refusedWith(root, name) == errno.ELOOP
    assert contentOf(root, *[b"here"] * MAX_LINKS, b"file") == b"file"
    assert refusedWith(root, *[b"here"] * (MAX_LINKS + 1), b"file") == errno.ELOOP


def test_onlyRegularFilesAreOpened(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO, a socket and a device are not opened at all: that alone can wait, or have an effect."""
    os.mkfifo(root / "fifo")
    (root / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "socket"))
        opened: list[object] = []

        def recorded(path: Any, *arguments: Any, **named: Any) -> int:
            opened.append(path)
            return open_(path, *arguments, **named)

        open_ = os.open
        monkeypatch.setattr(os, "open", recorded)
        for name in (b"fifo", b"socket", b"device"):
            assert refusedWith(root, name) == errno.ENOENT
            assert refusedWith(root, name, b"") in (errno.ENOENT, errno.ENOTDIR)
        with pytest.raises(FileNotFoundError):
            openFile(str(root / "fifo"))
        with pytest.raises(FileNotFoundError):
            openFile("/dev/zero")
        assert opened == [str(root)] * 6


def swappedAt(monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], None]) -> None:
    """Call `swap` once, between the look at the file `name` and its open."""
    stat_ = os.stat
    left = [swap]

    def late(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        status = stat_(path, *arguments, **named)
        if os.fsdecode(os.path.basename(path)) == name and left:
            left.pop()()
        return status

    monkeypatch.setattr(os, "stat", late)


def test_aLinkInThePlaceOfTheFile(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap() -> None:
        (root / "file").unlink()
        (root / "file").symlink_to("../outside/secret")

    swappedAt(monkeypatch, "file", swap)
    assert refusedWith(root, b"file") in (errno.ELOOP, errno.ENOENT)
    assert (root / "file").is_symlink()


def test_aFifoInThePlaceOfTheFile(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open does not wait for a writer."""
    path = root / "inner" / "file"

    def swap() -> None:
        path.unlink()
        os.mkfifo(path)

    swappedAt(monkeypatch, "file", swap)
    assert refusedWith(root, b"inner", b"file") == errno.ENOENT
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_aLinkInThePlaceOfTheDirectory(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap() -> None:
        (root / "inner").rename(root / "moved")
        (root / "inner").symlink_to("../outside")

    swappedAt(monkeypatch, "inner", swap)
    assert refusedWith(root, b"inner", b"secret") in (errno.ELOOP, errno.ENOTDIR)
    assert (root / "inner" / "secret").read_bytes() == SECRET


def test_aRaceOfLinksAndNames(root: pathlib.Path) -> None:
    """Another thread puts a link to the outside in the place of a directory, again and again."""
    (root / "a").mkdir()
    (root / "a" / "secret").write_bytes(b"harmless")
    (root / "b").symlink_to("../outside")
    ended = threading.Event()

    def exchange() -> None:
        while not ended.is_set():
            for one, two in (("a", "c"), ("b", "a"), ("a", "b"), ("c", "a")):
                os.rename(root / one, root / two)

    racer = threading.Thread(target=exchange)
    racer.start()
    found = set()
    try:
        for _ in range(3000):
            try:
                found.add(contentOf(root, b"a", b"secret"))
            except OSError as error:
                found.add(os.strerror(error.errno or 0).encode())
    finally:
        ended.set()
        racer.join()
    assert SECRET not in found
    assert found - {b"harmless"}  # the exchange has been met


def test_namesCannotClimbAboveTheRoot(root: pathlib.Path) -> None:
    """A request never has such names, and a link that has them is held to the same rule."""
    assert contentOf(root, b"inner", b"..", b"file") == b"file"
    assert refusedWith(root, b"..") == errno.ENOENT
    assert refusedWith(root, b"inner", b"..", b"..", b"root", b"file") == errno.ENOENT


# Against a model.

NAMES = ("a", "b", "..", ".", "", "out", ".h", "a%2f", "%2e%2e", "%2E", "%61", "a\\", "%00", "b%5c", "%252e")
PATHS = st.lists(st.sampled_from(NAMES), max_size=6).map("/".join)


@given(st.text(alphabet="/.%2eEfFaA5cC0\\", max_size=24) | PATHS)
def test_namesAgainstTheSystem(text: str) -> None:
    """The names, joined again, are the path that the system would resolve to itself, below the root."""
    path = f"/{text}".encode()
    names = namesOf(path, hidden=True)
    decoded = unquote_to_bytes(path)
    if names is None:
        parts = [unquote_to_bytes(part) for part in path[1:].split(b"/")]
        assert any(part in (b".", b"..") or set(part) & set(b"/\\\0") for part in parts) or b"" in parts[:-1]
        return
    assert b"/" + b"/".join(names) == decoded
    assert os.path.normpath(b"/root" + decoded) == (b"/root" + decoded).rstrip(b"/")
    assert b"\0" not in decoded
    visible = namesOf(path)
    assert visible == (None if any(name.startswith(b".") for name in names) else names)


LINKS = st.lists(st.sampled_from(("a", "b", "..", ".", "f", "{root}", "/", "out")), min_size=1, max_size=4)
STEPS = st.lists(st.sampled_from((b"a", b"b", b"f", b"l", b"m", b"")), max_size=5)


@given(links=st.tuples(LINKS, LINKS), names=STEPS)
def test_walksAgainstTheSystem(links: tuple[list[str], list[str]], names: list[bytes]) -> None:
    """A walk opens the file that the system finds, and this file lies below the root.

    A walk refuses only what the system refuses, what leads out of the root, and what leaves it on the way.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.realpath(folder)
        root = f"{base}/root"
        os.makedirs(f"{root}/a/b")
        os.makedirs(f"{base}/out")
        for path in (f"{root}/f", f"{root}/a/f", f"{root}/a/b/f", f"{base}/out/f", f"{base}/f"):
            pathlib.Path(path).write_text(path)
        for name, target in zip("lm", links, strict=True):
            os.symlink("/".join(target).format(root=root), f"{root}/{name}")
            os.symlink("/".join(target).format(root=root), f"{root}/a/{name}")
        wanted = os.path.join(os.fsencode(root), *(name for name in names if name))
        try:
            opened = openBelow(root, [name for name in names if name])
        except OSError:
            assert leaves(root, names) or not os.path.exists(wanted)
            return
        try:
            found = os.readlink(f"/proc/self/fd/{opened.fd}")
            assert os.path.samestat(os.stat(wanted), opened.status)
            assert os.path.commonpath([root, found]) == root
        finally:
            os.close(opened.fd)


def leaves(root: str, names: list[bytes]) -> bool:
    """Whether the system leaves the root on its way along `names`: the model walks by the paths' texts."""
    here, ahead, links = root, [os.fsdecode(name) for name in reversed(names) if name], 0
    while ahead:
        name = ahead.pop()
        path = os.path.normpath(os.path.join(here, name))
        if os.path.islink(path):
            links += 1
            if links > MAX_LINKS:
                return True
            target = os.readlink(path)
            if target.startswith("/"):
                if target != root and not target.startswith(f"{root}/"):
                    return True
                here, target = root, target[len(root) :]
            ahead += reversed([part for part in target.split("/") if part])
            continue
        here = path
        if os.path.commonpath([root, here]) != root:
            return True
    return False


def test_theModelKnowsTheWayOut(root: pathlib.Path) -> None:
    (root / "l").symlink_to("inner/../..")
    (root / "m").symlink_to(f"{root}/inner")
    assert leaves(str(root), [b"l"])
    assert not leaves(str(root), [b"m", b"file"])


def test_quotedNamesComeBack() -> None:
    for name in (b"a b", b"\xff\xfe", b"a?b#c", b"100%", b"%41", b"a;b", b"a\tb\n"):
        assert namesOf(b"/" + quote_from_bytes(name, safe="").encode()) == [name]
