"""Builds the site into build/docs, without the network. A warning is an error.

The pages of docs/ are those of the site, as they are. This program adds pages for what stands elsewhere: the reference
from docstrings, the changelog, and each file of the tree that a page links to.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
STAGED = ROOT / "build" / "docs-source"
TREES = ROOT / "build" / "docs-trees"
OUTPUT = ROOT / "build" / "docs"
FENCE = re.compile(r"(^ *```.*?^ *```[^\n]*)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")

# Pages of the tree beside docs/, and their names in the site.
MOVED = {
    "README.md": "readme.md",
    "docs/README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
WHOLE = {"examples", "docs/deploy"}  # the folders whose files have pages, if no page links to them, too
LANGUAGES = {
    ".py": "python", ".md": "markdown", ".toml": "toml", ".html": "html", ".service": "ini", ".socket": "ini",
    ".svg": "xml", ".c": "c", ".pyx": "cython",
}  # fmt: skip


def stagedName(path: str) -> str:
    """The place in the site of a page of the tree."""
    return MOVED.get(path) or path.removeprefix("docs/")


class Staging:
    """The folder that Sphinx reads: each file is written if it has changed, and what is not written is removed."""

    def __init__(self) -> None:
        self.written: set[pathlib.Path] = set()
        self.wanted: list[str] = []  # files and folders of the tree that pages link to
        self.seen: set[str] = set()

    def write(self, name: str, text: str | bytes) -> None:
        path = STAGED / name
        data = text.encode() if isinstance(text, str) else text
        self.written.add(path)
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def page(self, path: str, text: str | None = None) -> None:
        """Write a page, its links to other places of the tree turned to where these are in the site."""
        text = (ROOT / path).read_text() if text is None else text
        name = stagedName(path)

        def relinked(found: re.Match[str]) -> str:
            return f"]({self.target(path, name, found[1])})"

        parts = FENCE.split(text)
        parts[::2] = [LINK.sub(relinked, part) for part in parts[::2]]
        self.write(name, "".join(parts))

    def target(self, path: str, name: str, link: str) -> str:
        if "://" in link or link.startswith(("#", "mailto:")):
            return link
        where, _, anchor = link.partition("#")
        found = (ROOT / path).parent.joinpath(where).resolve()
        inside = str(found.relative_to(ROOT))
        if inside in MOVED or (inside.startswith("docs/") and found.suffix in {".md", ".png", ".svg"}):
            to = stagedName(inside)
        else:
            self.wanted.append(inside)
            to = f"files/{inside}/index.md" if found.is_dir() else f"files/{inside}.md"
        back = os.path.relpath(STAGED / to, (STAGED / name).parent)
        return f"{back}#{anchor}" if anchor else back

    def files(self) -> None:
        """Write a page for each file that a page links to, and for each folder one with its files."""
        while self.wanted:
            inside = self.wanted.pop()
            if inside in self.seen:
                continue
            self.seen.add(inside)
            path = ROOT / inside
            if path.is_dir():
                names = sorted(each for each in path.iterdir() if isShown(each))
                isWhole = inside in WHOLE
                rows = [f"- [{each.name}]({each.name}.md)" if isWhole else f"- {each.name}" for each in names]
                self.wanted += [str(each.relative_to(ROOT)) for each in names if isWhole]
                self.write(f"files/{inside}/index.md", f"---\norphan: true\n---\n\n# {inside}\n\n" + "\n".join(rows))
                continue
            text = path.read_text()
            fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall(r"`+", text)), 3)
            language = LANGUAGES.get(path.suffix, "text")
            head = f"---\norphan: true\n---\n\n# {inside}\n\n"
            self.write(f"files/{inside}.md", f"{head}{fence}{language}\n{text}\n{fence}\n")

    def finish(self) -> None:
        for path in sorted(STAGED.rglob("*"), reverse=True):
            if path.is_file() and path not in self.written:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def isShown(path: pathlib.Path) -> bool:
    return (
        path.name != "__pycache__" and not path.name.startswith(".") and path.suffix not in {".pyc", ".png", ".jsonl"}
    )


def contents(text: str) -> str:
    """The table of contents: the links of docs/README.md, whose headings are the captions."""
    trees = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        caption, _, body = section.partition("\n")
        names = [re.sub(r"\.md$", "", stagedName(os.path.normpath(f"docs/{link.partition('#')[0]}")))
                 for link in re.findall(r"^- \[[^\]]*\]\(([^)#]+\.md)\)", body, re.MULTILINE)]  # fmt: skip
        if names:
            trees.append("```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(names) + "\n```\n")
    return "\n".join(trees)


def changelog() -> str:
    """CHANGELOG.md, and before its versions the fragments of what comes next."""
    text = (ROOT / "CHANGELOG.md").read_text()
    fragments: dict[str, list[str]] = {}
    for path in sorted((ROOT / "changelog.d").glob("*.md")):
        kind = path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else ""
        if kind:
            fragments.setdefault(kind, []).append(path.read_text().strip())
    rows = [
        f"### {kind.capitalize()}\n\n" + "\n".join(f"- {text}" for text in texts) for kind, texts in fragments.items()
    ]
    mark = "<!-- make changelog writes below this line -->\n"
    return text.replace(mark, f"{mark}\n## Next\n\n" + "\n\n".join(rows) + "\n" if rows else mark)


def main() -> int:
    import reference

    staging = Staging()
    for path in sorted((ROOT / "docs").rglob("*.md")):
        inside = str(path.relative_to(ROOT))
        if SITE in path.parents:
            continue
        text = path.read_text()
        if inside == "docs/README.md":
            text += "\n" + contents(text)
        if inside == "docs/reference.md":
            text = reference.linked(text)
        staging.page(inside, text)
    for path in (each for suffix in ("svg", "png") for each in (ROOT / "docs").rglob(f"*.{suffix}")):
        staging.write(str(path.relative_to(ROOT / "docs")), path.read_bytes())
    staging.page("CHANGELOG.md", changelog())
    staging.page("README.md", (ROOT / "README.md").read_text().replace("# linereactor", "# The README", 1))
    staging.page("CONTRIBUTING.md")
    staging.page("SECURITY.md")
    for name, text in reference.pages():
        staging.write(name, text)
    staging.files()
    staging.finish()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", str(SITE)]
    code = subprocess.run([*command, "-d", str(TREES), str(STAGED), str(OUTPUT), *sys.argv[1:]], check=False).returncode
    if code:
        shutil.rmtree(TREES)  # a page that is read again would not be warned about
    return code


if __name__ == "__main__":
    os.environ["REACTOR_PURE"] = "1"  # its classes have signatures that a program can read
    sys.exit(main())
