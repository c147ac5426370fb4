"""Check with stubtest that every stub of the package says what its compiled module has: `make types`."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
# Cython puts `__test__` into each module, for doctest, and `__pyx_capi__` into one whose C functions others call.
ALLOWED = r".*\.__(test|pyx_capi)__"


def main() -> int:
    stubs = sorted((SOURCE / "reactor").rglob("*.pyi"))
    modules = [".".join(stub.relative_to(SOURCE).with_suffix("").parts) for stub in stubs]
    if not modules:
        raise SystemExit(f"no stub is below {SOURCE}: there is nothing to check")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as allowed:
        print(ALLOWED, file=allowed, flush=True)
        command = [sys.executable, "-m", "mypy.stubtest", *modules, "--allowlist", allowed.name]
        # A base whose layout is C's own matters to type checkers alone, and only to classes with two of these.
        command += ["--ignore-disjoint-bases", "--mypy-config-file", str(ROOT / "pyproject.toml"), "--concise"]
        wrong = subprocess.run(command, check=False, cwd=ROOT).returncode
    print(f"Stubs: {', '.join(modules)}: {'wrong' if wrong else 'as the modules are'}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
