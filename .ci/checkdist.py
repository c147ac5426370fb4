"""Builds sdist and wheel into dist/ and tries them as a stranger would.

    python .ci/checkdist.py

- the sdist holds every file under version control that belongs in it, and nothing generated;
- the wheel, built from the sdist, installs with no index and no compiler in reach and runs the compiled core;
- a build with REACTOR_PURE=1 gives a wheel for any platform, which runs the pure core;
- an editable install runs the compiled core, and the pure one when asked at import.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SMOKE = ROOT / "tests" / "smoke.py"
EXTENSIONS = ("_announcing", "_linebuf", "_sending")
GENERATED = (".c", ".so", ".pyd", ".pyc")
WRITTEN = frozenset({"bench/asker.c", "bench/servers/floor.c", "tests/battery/failing.c"})
# Raw figures of measurements; the tables that are made from them are shipped.
RAW = ".jsonl"
NOT_SHIPPED = (".editorconfig", ".gitattributes", ".gitignore", ".github/", ".pre-commit-config.yaml")


def say(text: str) -> None:
    print(text, flush=True)


def run(*command: str | os.PathLike[str], **environment: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment})


def pip(python: pathlib.Path | str, *arguments: str | os.PathLike[str], **environment: str) -> None:
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, **environment)


def newEnvironment(folder: pathlib.Path) -> pathlib.Path:
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def tryWheel(wheel: pathlib.Path, core: str, work: pathlib.Path) -> None:
    """Install and use `wheel` where PATH holds the new environment's own programs only, and no package index."""
    folder = work / f"fresh-{core}"
    python = newEnvironment(folder)
    bare = {"PATH": str(python.parent), "HOME": str(work)}
    for name in ("cc", "gcc", "clang", "c++"):
        assert shutil.which(name, path=bare["PATH"]) is None, f"{name} is in reach"
    install = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index", wheel)
    subprocess.run(install, check=True, env=bare, cwd=work)
    subprocess.run((python, SMOKE, core), check=True, env=bare, cwd=work)
    for command in ((python.parent / "linereactor", "--help"), (python, "-m", "reactor", "--help")):
        subprocess.run(command, check=True, env=bare, cwd=work, stdout=subprocess.DEVNULL)


def checkSdist(sdist: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    """Compare the archive with what is under version control; returns the unpacked tree."""
    with tarfile.open(sdist) as archive:
        # Our own archive, just made. Python 3.11 knows filters from 3.11.4 on, and from 3.14 on wants one named.
        archive.extractall(work, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    tree = work / sdist.name.removesuffix(".tar.gz")
    shipped = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    generated = sorted(name for name in shipped - WRITTEN if name.endswith(GENERATED))
    assert not generated, f"generated files in the sdist: {generated}"
    raw = sorted(name for name in shipped if name.endswith(RAW))
    assert not raw, f"raw figures in the sdist: {raw}"
    core = [f"src/{name}.pyx" for name in EXTENSIONS]
    for name in (*core, "src/linetricks.h", "src/reactor/py.typed", "tests/smoke.py", "LICENSE", "README.md"):
        assert name in shipped, f"{name} is not in the sdist"
    if (ROOT / ".git").exists():
        listing = subprocess.run(("git", "ls-files"), cwd=ROOT, check=True, capture_output=True, text=True).stdout
        wanted = {name for name in listing.splitlines() if not name.startswith(NOT_SHIPPED) and not name.endswith(RAW)}
        assert not wanted - shipped, f"not in the sdist: {sorted(wanted - shipped)}"
    return tree


def checkWheel(wheel: pathlib.Path, compiled: bool) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    extensions = sorted(name.split(".")[0] for name in names if name.endswith((".so", ".pyd")))
    assert extensions == [f"reactor/{name}" for name in EXTENSIONS if compiled], f"{wheel.name} holds {extensions}"
    assert wheel.name.endswith("py3-none-any.whl") is not compiled, f"{wheel.name}: wrong platform tag"
    assert "reactor/py.typed" in names
    ours, sources = ("reactor/", "linereactor-"), (".c", ".h", ".pxd", ".pyx")
    strays = [name for name in names if not name.startswith(ours) or name.endswith(sources)]
    assert not strays, f"{wheel.name} holds {strays}"


def buildSdist() -> pathlib.Path:
    """Through the build backend's own hook, as every front end does it; what it says is shown if it fails."""
    hook = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    result = subprocess.run((sys.executable, "-c", hook, DIST), cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def buildWheel(source: pathlib.Path, folder: pathlib.Path, **environment: str) -> pathlib.Path:
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, source, **environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        sdist = buildSdist()
        tree = checkSdist(sdist, work)
        say(f"{sdist.name}: complete, nothing generated in it")

        wheel = buildWheel(sdist, DIST)
        checkWheel(wheel, compiled=True)
        say(f"{wheel.name}: built from the sdist")
        tryWheel(wheel, "compiled", work)

        pure = buildWheel(sdist, work / "pure", REACTOR_PURE="1")
        checkWheel(pure, compiled=False)
        say(f"{pure.name}: built with REACTOR_PURE=1")
        tryWheel(pure, "pure", work)

        python = newEnvironment(work / "editable")
        pip(python, "install", "--no-deps", "--editable", tree)
        run(python, SMOKE, "compiled")
        run(python, SMOKE, "pure", REACTOR_PURE="1")
        say("editable install: runs the core it is asked for")


if __name__ == "__main__":
    main()
