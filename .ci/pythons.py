"""Finds the CPythons of this machine that the project supports.

    python .ci/pythons.py

prints the path of each, a line a version. PYTHONS in the environment, paths with colons between them, adds others.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

NAMES = [f"python3.{minor}{threads}" for minor in range(11, 17) for threads in ("", "t")]
# Its program and its version, with a "t" if it has no GIL: one of each is enough.
ASK = """
import sys, sysconfig
assert sys.implementation.name == "cpython" and sys.version_info >= (3, 11)
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(sys._base_executable, "%d.%d%s" % (*sys.version_info[:2], threads))
"""


def candidates() -> Iterator[str]:
    yield sys.executable
    yield from filter(None, os.environ.get("PYTHONS", "").split(":"))
    for name in NAMES:
        for folder in os.environ["PATH"].split(os.pathsep):
            if (path := shutil.which(name, path=folder)) is not None:
                yield path
    # pyenv puts only the versions in use on PATH.
    if shutil.which("pyenv") is not None:
        root = subprocess.run(("pyenv", "root"), capture_output=True, text=True, check=False).stdout.strip()
        for name in NAMES:
            yield from map(str, sorted(pathlib.Path(root).glob(f"versions/*/bin/{name}")))


def pythons() -> dict[str, str]:
    """The first program of each version, such as {"3.11": path, "3.14t": path}; the one that runs this is the first."""
    found: dict[str, str] = {}
    for path in candidates():
        asked = subprocess.run((path, "-I", "-c", ASK), capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            program, version = asked.stdout.strip().rsplit(" ", 1)
            found.setdefault(version, program)
    return found


if __name__ == "__main__":
    for program in pythons().values():
        print(program)
