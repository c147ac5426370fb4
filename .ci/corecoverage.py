"""Line coverage of the Cython line core, the .pyx files of src/, by the tests that drive it.

    python .ci/corecoverage.py TEST...

The extensions are built again in build/trace/, with line tracing, which makes them slow; those in use stay as is.
Cython counts lines and no branches.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRACE = ROOT / "build" / "trace"

# setup.py as is, with a directive that no .pyx sets.
BUILD = """
import runpy, sys
from Cython.Compiler import Options
Options.get_directive_defaults()["linetrace"] = True
sys.argv = ["setup.py", "--quiet", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""

SETTINGS = """
[run]
plugins = Cython.Coverage
include = src/*.pyx
[report]
show_missing = true
"""


def run(*command: str | os.PathLike[str], **environment: str) -> None:
    subprocess.run((sys.executable, *command), check=True, cwd=TRACE, env={**os.environ, **environment})


def main(tests: list[str]) -> None:
    shutil.rmtree(TRACE, ignore_errors=True)
    shutil.copytree(ROOT, TRACE, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.c", "*.so"))
    settings = TRACE / "trace.cfg"
    settings.write_text(SETTINGS)
    run("-c", BUILD, CFLAGS="-O1 -DCYTHON_TRACE=1")
    run(
        *("-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest", *tests),
        PYTHONPATH=str(TRACE / "src"),
        REACTOR_EXPECT_CORE="compiled",
    )
    run("-m", "coverage", "report", f"--rcfile={settings}")


if __name__ == "__main__":
    main(sys.argv[1:])
