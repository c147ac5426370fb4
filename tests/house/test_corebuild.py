"""The build of the line core: what setup.py says and makes, and that the extensions here are of this source."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTENSIONS = ("_announcing", "_sending", "_linebuf")


def runSetup(folder: pathlib.Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "src" / "reactor").mkdir(parents=True)
    for module in EXTENSIONS:
        (folder / "src" / f"{module}.pyx").write_text(source)
    shutil.copy(ROOT / "setup.py", folder)
    return subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "REACTOR_PURE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_aCompilerErrorSaysHowToGoPure(tmp_path: pathlib.Path) -> None:
    result = runSetup(tmp_path, "x = 1\n", CC="false")
    assert result.returncode != 0
    assert "REACTOR_PURE=1" in result.stderr


def test_aPureBuildBuildsNothing(tmp_path: pathlib.Path) -> None:
    result = runSetup(tmp_path, "this is no Cython", REACTOR_PURE="1")
    assert (result.returncode, list((tmp_path / "src" / "reactor").iterdir())) == (0, [])


@pytest.mark.skipif(importlib.util.find_spec("reactor._linebuf") is None, reason="built without the extensions")
@pytest.mark.parametrize("name", EXTENSIONS)
def test_theExtensionIsOfThisSource(name: str) -> None:
    """If this fails, the extension is older than a .pyx, .pxd or .h file of the line core: build it again."""
    patterns = ("src/*.pyx", "src/*.h", "src/reactor/*.pxd")
    sources = b"".join(path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    assert hashlib.sha256(sources).hexdigest() == importlib.import_module(f"reactor.{name}").SOURCE_HASH


@pytest.mark.skipif(sys.platform != "linux", reason="as the linker of Linux strips")
@pytest.mark.skipif(importlib.util.find_spec("reactor._linebuf") is None, reason="built without the extensions")
def test_theExtensionsHaveNoSymbolsForDebuggers() -> None:
    """They are three quarters of an extension, which each download would carry."""
    for name in EXTENSIONS:
        extension = importlib.util.find_spec(f"reactor.{name}")
        assert extension is not None
        assert extension.origin is not None
        assert b".debug_info" not in pathlib.Path(extension.origin).read_bytes()
