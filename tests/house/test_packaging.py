"""The promises of the metadata, and a proof that the guards of conftest.py do guard."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

import reactor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_nothingElseIsNeededToRun() -> None:
    assert PROJECT["project"]["dependencies"] == []
    required = importlib.metadata.requires("linereactor") or []
    assert [entry for entry in required if "extra ==" not in entry] == []


def test_oneVersion() -> None:
    """It stands in the package alone; the metadata is made from there."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "reactor.__version__"}}
    version = reactor.__version__
    assert importlib.metadata.version("linereactor") == version
    assert version in (ROOT / "CHANGELOG.md").read_text()
    texts = [path.read_text() for path in (ROOT / "src").rglob("*.py")] + [(ROOT / "pyproject.toml").read_text()]
    assert sum(text.count(f'"{version}"') for text in texts) == 1


def test_everyFileOfThePackageIsInTheWheel() -> None:
    """setuptools takes modules by itself, and other files by the patterns of pyproject.toml."""
    package = ROOT / "src" / "reactor"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["reactor"]
    taken = {path for pattern in patterns for path in package.glob(pattern)}
    built = {".py", ".pyc", ".so", ".pxd"}  # the last are for the build alone
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in built}
    assert others <= taken
    assert package / "service" / "admin" / "status.html" in taken


def test_theOldestPythonIsTheSameEverywhere() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert PROJECT["tool"]["cibuildwheel"]["build"][0] == "cp311-*"


def test_theCommandIsInstalled() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="linereactor")
    assert script.value == "reactor.__main__:main"
    assert callable(script.load())


def test_theExtrasOfTheTextsExist() -> None:
    """Each `linereactor[name]` of a page or of a message is an extra that pip can install."""
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "src" / "reactor").rglob("*.py")]
    named = {name for path in texts for name in re.findall(r"linereactor\[(\w+)\]", path.read_text())}
    assert named >= {"metrics", "plot", "reload", "uvloop"}
    assert named <= PROJECT["project"]["optional-dependencies"].keys()


def test_whatRunsOnceExists() -> None:
    """The files that the Makefile has run once, or names for a part of the battery, are in the tree."""
    program = ["make", "--no-print-directory", "--dry-run", "suite-once", "battery-one", "battery-two"]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
    }
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    named = set(re.findall(r"(?<![\w/])tests/\S+", done.stdout))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_noRegistryIsNamed() -> None:
    """pip's own configuration says where packages come from."""
    for name in ("Makefile", ".ci/run", ".ci/checkdist.py", "pyproject.toml", "setup.py"):
        text = (ROOT / name).read_text()
        if name == "pyproject.toml":
            for url in PROJECT["project"]["urls"].values():  # the project's own addresses
                text = text.replace(f'"{url}"', "")
        assert not [word for word in ("://", "--index-url", "--extra-index", "--find-links") if word in text], name


GUARDED = """
import os, threading

def test_file():
    test_file.kept = os.open(os.devnull, os.O_RDONLY)

def test_thread():
    stop = test_thread.stop = threading.Event()
    threading.Thread(target=stop.wait, args=(30,), daemon=True).start()

def test_warning():
    open(os.devnull)

def test_clean():
    with open(os.devnull):
        thread = threading.Thread(target=int)
        thread.start()
"""

IGNORING = """
import os, signal, subprocess, sys

def test_signals():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        assert signal.getsignal(number) != signal.SIG_IGN
    program = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).stdout == b"False\\n"
"""

SKIPPED = """
import pytest

@pytest.mark.skip(reason="why")
def test_marked():
    pass

@pytest.mark.xfail
def test_expected():
    assert False

def test_inside():
    pytest.skip("why")
"""

TIMED = """
import os, pytest

@pytest.mark.timing
def test_timed():
    assert "QUIET" in os.environ

def test_other():
    assert "BROKEN" not in os.environ
"""

SKIPPED_MODULE = "import pytest\npytest.skip('why', allow_module_level=True)\n"


def runSuite(folder: pathlib.Path, text: str, *command: str, **environment: str) -> tuple[int, str]:
    """Run pytest, by `command`, on a file with `text`, under this suite's configuration and conftest.py."""
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    (folder / "tests" / "test_it.py").write_text(text)
    own = ("CI", "REACTOR_AGAIN", "REACTOR_EXPECT_CORE", "REACTOR_PURE")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    result = subprocess.run(
        [*command, sys.executable, "-m", "pytest", "-q"],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


def test_leaksAndWarningsFail(tmp_path: pathlib.Path) -> None:
    status, output = runSuite(tmp_path, GUARDED)
    assert status == 1
    assert "the test left files open" in output
    assert "the test left a thread running" in output
    assert "ResourceWarning" in output
    assert "3 passed, 1 failed, 2 errors" in output or "1 failed, 3 passed, 2 errors" in output


def test_howItIsStartedDoesNotMatter(tmp_path: pathlib.Path) -> None:
    """A job in the background, or below nohup, ignores signals."""
    status, output = runSuite(tmp_path, IGNORING, "sh", "-c", "trap '' INT HUP QUIT; exec \"$@\"", "sh")
    assert status == 0, output


@pytest.mark.parametrize(
    ("text", "locally", "inCI"),
    [(SKIPPED, "2 skipped, 1 xfailed", "2 failed, 1 error"), (SKIPPED_MODULE, "1 skipped", "1 error")],
)
def test_aSkipFailsInCI(tmp_path: pathlib.Path, text: str, locally: str, inCI: str) -> None:
    (tmp_path / "local").mkdir()
    _status, output = runSuite(tmp_path / "local", text)
    assert locally in output
    (tmp_path / "ci").mkdir()
    status, output = runSuite(tmp_path / "ci", text, CI="true")
    assert inCI in output
    assert status in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)


def test_timingTestsRunAgain(tmp_path: pathlib.Path) -> None:
    """A run in which only timing tests have failed names them, in a file, too, and is no failure.

    With another failure it is. Without that file, which is for make, a timing test is a test.
    """
    names = tmp_path / "names"
    for number, (environment, expected) in enumerate(
        [
            ({"REACTOR_AGAIN": str(names)}, 0),
            ({"REACTOR_AGAIN": str(names), "QUIET": "1"}, 0),
            ({"REACTOR_AGAIN": str(names), "BROKEN": "1"}, 1),
            ({}, 1),
        ]
    ):
        names.unlink(missing_ok=True)
        folder = tmp_path / str(number)
        folder.mkdir()
        status, output = runSuite(folder, TIMED, **environment)
        assert status == expected, output
        assert names.exists() == (number == 0)
        assert ("needs a quiet machine: tests/test_it.py::test_timed" in output) == (number in (0, 2))


@pytest.mark.parametrize("expected", ["compiled", "pure"])
def test_theWrongCoreIsRefused(tmp_path: pathlib.Path, expected: str) -> None:
    other = {"compiled": {"REACTOR_PURE": "1"}, "pure": {}}[expected]
    status, output = runSuite(tmp_path, SKIPPED, REACTOR_EXPECT_CORE=expected, **other)
    assert status == 1
    assert f"this run is for the {expected} core" in output


def test_anotherTreeIsRefused(tmp_path: pathlib.Path) -> None:
    core = {"REACTOR_PURE": "1", "REACTOR_EXPECT_CORE": "pure"}
    status, output = runSuite(tmp_path, SKIPPED, **core)
    assert status == 1
    assert f"this run is for the tree at {tmp_path}" in output
