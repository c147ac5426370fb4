"""Every measurement of this folder, one after the other, or the ones named: `python -m bench [NAME ...]`.

A measurement is a program of its own, with options of its own: `python bench/parse.py --help`.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The pong servers are what redis_ping measures.
NAMES = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("__", "pong_")))


def main() -> int:
    asked = sys.argv[1:] or NAMES
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"no measurement is called {', '.join(unknown)}: there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = []
    for name in asked:
        print(f"\n== bench/{name}.py", flush=True)
        if subprocess.run([sys.executable, HERE / f"{name}.py"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
