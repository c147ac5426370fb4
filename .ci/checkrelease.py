"""Check what a release needs beside a green `.ci/run`: `make release-check`.

    python .ci/checkrelease.py [TREE]

- no address in [project.urls] is a placeholder, a name below `.example` (RFC 2606);
- CHANGELOG.md has a part for the version, with a date, and no part for what is unreleased;
- changelog.d/ holds no fragment.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys
import tomllib
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ("README.md", "template.jinja")


def versionOf(tree: pathlib.Path) -> str:
    """The version of the package in `tree`, read from its text."""
    for node in ast.parse((tree / "src" / "reactor" / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise SystemExit("src/reactor/__init__.py sets no __version__")


def missing(tree: pathlib.Path) -> list[str]:
    """What the tree lacks for a release, in words."""
    urls = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})
    found = [
        f"pyproject.toml: [project.urls] {name} is a placeholder: {url}"
        for name, url in urls.items()
        if f".{urllib.parse.urlsplit(url).hostname}".endswith(".example")
    ]
    if not urls:
        found.append("pyproject.toml: [project.urls] names no address")
    version, changelog = versionOf(tree), (tree / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md: no part begins with '## [{version}] - ' and a date: make changelog writes it")
    if re.search(r"^## \[Unreleased\]", changelog, re.MULTILINE):
        found.append("CHANGELOG.md: a part is [Unreleased]: its lines belong in the part of the version")
    found += [
        f"changelog.d/{path.name}: make changelog has not taken this fragment"
        for path in sorted((tree / "changelog.d").iterdir())
        if path.name not in KEPT
    ]
    return found


def main(arguments: list[str]) -> int:
    found = missing(pathlib.Path(arguments[0]) if arguments else ROOT)
    for each in found:
        print(each)
    print("Release: " + (f"not yet; {len(found)} to mend" if found else "nothing is missing"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
