"""Cases of other projects, read from their source archives where these stand; none is copied into this tree.

`python -m tests.battery.http.borrowed` has pip download the archives into the environment, once.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import pathlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator

FOLDER = pathlib.Path(__file__).resolve().parents[3] / ".venv" / ".borrowed"
ARCHIVES = {
    "aiohttp-3.14.5": "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178",
    "gunicorn-27.0.1": "b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e",
    "h11-0.16.0": "4e35b956cf45792e4caa5885e69fba00bdbc6ffafbfa020300e549b208ee5ff1",
}
ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"f": b"\f", b"0": b"\0"}

Named = tuple[str, bytes]


def pathOf(archive: str) -> pathlib.Path:
    return FOLDER / f"{archive}.tar.gz"


def fetch() -> None:
    """Have pip download the archives that are not there. CalledProcessError if it cannot."""
    missing = [archive for archive in ARCHIVES if not pathOf(archive).exists()]
    if missing:
        wanted = ["==".join(archive.rsplit("-", 1)) for archive in missing]
        options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(FOLDER)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, *wanted], check=True)


@functools.cache
def filesOf(archive: str) -> dict[str, bytes]:
    """The files of an archive by their paths inside its folder. ValueError if it is not the one that we know."""
    data = pathOf(archive).read_bytes()
    if hashlib.sha256(data).hexdigest() != ARCHIVES[archive]:
        raise ValueError(f"{pathOf(archive)} is another archive than the one that the tests know")
    with tarfile.open(pathOf(archive)) as opened:
        members = {member.name.partition("/")[2]: opened.extractfile(member) for member in opened if member.isfile()}
        return {name: member.read() for name, member in members.items() if member is not None}


def unescaped(text: bytes) -> bytes:
    """`text` with the bytes that its escapes stand for."""
    return re.sub(
        rb"\\(?:x([0-9a-fA-F]{2})|([rntf0]))",
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else ESCAPES[found[2]],
        text,
    )


def ofGunicorn(folder: str) -> Iterator[Named]:
    """The requests of the folder "valid" or "invalid" that need no option of gunicorn's."""
    files = filesOf("gunicorn-27.0.1")
    for name in sorted(files):
        isOne = name.startswith(f"tests/requests/{folder}/") and name.endswith(".http")
        if isOne and b"cfg.set" not in files[name.removesuffix(".http") + ".py"]:
            yield f"gunicorn {name}", unescaped(files[name].replace(b"\n", b""))


def ofLlhttp() -> Iterator[tuple[str, bytes, bool]]:
    """The requests of llhttp's pages for its strict mode, and whether it refuses them."""
    pattern = rb'<!-- meta=\{ ?"type": ?"request" ?(?:, *"noScan": true ?)?\} -->\n```http\n(.*?)```\s*```log\n(.*?)```'
    files = filesOf("aiohttp-3.14.5")
    for name in sorted(files):
        if name.startswith("vendor/llhttp/test/request/"):
            for number, (text, log) in enumerate(re.findall(pattern, files[name], re.DOTALL)):
                if b"${" not in text:
                    joined = re.sub(rb"\\\n", b"", text.removesuffix(b"\n")).replace(b"\n", b"\r\n")
                    yield f"llhttp {name} {number}", unescaped(joined), b" error code=" in log


def ofPrograms() -> Iterator[Named]:
    """All requests that stand as bytes in the tests of h11 and aiohttp, and the seeds of h11's fuzzer."""
    for archive, folder in (("h11-0.16.0", "h11/tests/"), ("aiohttp-3.14.5", "tests/test_http_parser")):
        for name, data in sorted(filesOf(archive).items()):
            if name.startswith(folder) and name.endswith(".py"):
                for node in ast.walk(ast.parse(data)):
                    if isinstance(node, ast.Constant) and isinstance(node.value, bytes) and b"HTTP/1" in node.value:
                        yield f"{archive} {name}:{node.lineno}", node.value
    for name, data in sorted(filesOf("h11-0.16.0").items()):
        if name.startswith("fuzz/afl-server-examples/"):
            yield f"h11 {name}", data.replace(b"\n", b"\r\n")


def withHost(raw: bytes) -> bytes:
    """`raw` with a Host in its first head, if that has none, so that it is judged by the rest of it."""
    line, end, rest = raw.partition(b"\r\n")
    head = rest.partition(b"\r\n\r\n")[0]
    return raw if not end or re.search(rb"^host[ \t]*:", head, re.I | re.M) else line + b"\r\nHost: a\r\n" + rest


def refused() -> Iterator[Named]:
    """Requests that their projects refuse."""
    yield from ofGunicorn("invalid")
    yield from ((name, raw) for name, raw, isRefused in ofLlhttp() if isRefused)


def everything() -> Iterator[Named]:
    """All requests, as they stand and with a Host."""
    plain = [*ofGunicorn("valid"), *ofGunicorn("invalid"), *((name, raw) for name, raw, _ in ofLlhttp()), *ofPrograms()]
    for name, raw in plain:
        yield name, raw
        if (changed := withHost(raw)) != raw:
            yield f"{name} with Host", changed


if __name__ == "__main__":
    fetch()
