"""Another distribution with the import name `reactor` in the same environment: an import of ours says so in words."""

from __future__ import annotations

import base64
import hashlib
import pathlib
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable

import pytest

import reactor
from tests.house.test_layers import COMPILED, MODULES

SOURCE = pathlib.Path(reactor.__file__).parent
FOREIGN = b"REACTOR_URL = None\n"
INSTALL = "python -m pip install --force-reinstall linereactor"


def makeWheel(folder: pathlib.Path, name: str, version: str, files: dict[str, bytes]) -> pathlib.Path:
    """Write a wheel for any platform, as a build would."""
    about = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(content)}\n"
            archive.writestr(path, content)
        archive.writestr(f"{about}/RECORD", f"{record}{about}/RECORD,,\n")
    return wheel


class Environment:
    """A fresh environment, and the wheels of both distributions."""

    def __init__(self, folder: pathlib.Path) -> None:
        venv.create(folder / "env", symlinks=True)
        self.python = folder / "env" / "bin" / "python"
        texts = {f"reactor/{path.relative_to(SOURCE)}": path.read_bytes() for path in SOURCE.rglob("*.py")}
        self.ours = makeWheel(folder, "linereactor", reactor.__version__, texts)
        self.theirs = makeWheel(folder, "reactor", "0.1.4", {"reactor/__init__.py": FOREIGN, "reactor/common.py": b""})

    def pip(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", "--disable-pip-version-check"]
        subprocess.run([*map(str, command), *map(str, arguments)], check=True, capture_output=True)

    def install(self, wheel: pathlib.Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-compile", "--force-reinstall", wheel)

    def error(self, *arguments: str) -> str:
        """The last line that Python says, which fails."""
        command = [str(self.python), "-I", *arguments]
        result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.python.parent)
        assert result.returncode == 1, result
        return result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("overwritten"))


def overwritten(environment: Environment) -> str:
    environment.install(environment.ours)
    environment.install(environment.theirs)
    return "is not linereactor's: reactor 0.1.4 has the import name 'reactor' too. Uninstall it, then install"


def removed(environment: Environment) -> str:
    environment.install(environment.theirs)
    environment.install(environment.ours)
    environment.pip("uninstall", "--yes", "reactor")
    return "reactor/__init__.py is missing beside "


@pytest.mark.parametrize("happens", [overwritten, removed])
def test_anotherDistribution(environment: Environment, happens: Callable[[Environment], str]) -> None:
    words = happens(environment)
    for arguments in (
        ("-c", "from reactor.defer import Deferred"),
        ("-c", "import reactor.linereceiver"),
        ("-m", "reactor"),
    ):
        said = environment.error(*arguments)
        assert said.startswith("ImportError: "), said
        assert words in said
        assert said.endswith(f" again: {INSTALL}")
    environment.install(environment.ours)
    program = "import reactor.aio, reactor.testing; print(reactor.__version__)"
    answer = subprocess.run([environment.python, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout == f"{reactor.__version__}\n"


EACH = """
import importlib, sys, types

for name in sys.argv[1:]:
    for loaded in [each for each in sys.modules if each.partition(".")[0] == "reactor"]:
        del sys.modules[loaded]
    package = sys.modules["reactor"] = types.ModuleType("reactor")
    package.__path__, package.__file__ = [SOURCE], "foreign.py"
    try:
        importlib.import_module(name)
    except ImportError as error:
        if not str(error).startswith("foreign.py is not linereactor's: "):
            print(name, error)
    else:
        print(name, "is imported")
"""


def test_eachModuleSaysSo() -> None:
    """All but packages without a face, and parts of the command that need nothing else of the package."""
    bare = {"reactor.loops", "reactor.transports", "reactor.serving", "reactor.serving.collecting"}
    bare |= {f"reactor.transports.{name}" for name in ("children", "tls", "unix")}
    bare |= {f"reactor.serving.{name}" for name in ("chatnames", "descriptors", "errors", "framing", "output")}
    bare |= {f"reactor.serving.{name}" for name in ("plan", "setting", "standard", "values")}
    bare |= {f"reactor.serving.collecting.{name}" for name in ("background", "locks")}
    names = sorted(set(MODULES) - COMPILED - bare - {"reactor"})
    assert len(names) > 100
    program = EACH.replace("SOURCE", repr(str(SOURCE)))
    command = [sys.executable, "-I", "-S", "-c", program, *names]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr
