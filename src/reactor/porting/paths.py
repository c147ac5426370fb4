"""Files and directories, ported one file after the other."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from reactor.porting.files import filesOf, replace
from reactor.porting.rewriting import Finding, Ported, portSource
from reactor.porting.source import UnreadableError

HIDES = "reactor"  # a module of this name beside a program would be imported for the package


@dataclass
class Report:
    """The result of portPaths: how many files were read, which were changed, and how much is left."""

    files: int = 0
    changed: list[str] = field(default_factory=list)
    left: int = 0
    errors: int = 0

    @property
    def isWhole(self) -> bool:
        """Whether every file was read, and no name is left."""
        return not self.left and not self.errors


def portPaths(
    paths: Iterable[str],
    write: bool = False,
    tell: Callable[[str], object] = lambda line: None,
    show: Callable[[str], object] = lambda text: None,
) -> Report:
    """Port the Python files at and below `paths`, each once.

    `tell` gets a line for each name without a counterpart, and for each file that cannot be read or written. `show`
    gets a unified diff of each file that changes. Only with `write` is a file replaced.
    """
    report = Report()
    seen: set[str] = set()
    for path in paths:
        errors: list[OSError] = []
        for file in filesOf(path, errors):
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                _portFile(file, report, write, tell, show)
        for error in errors:
            report.errors += 1
            tell(f"{error.filename}: {error.strerror}")
    return report


def _portFile(
    path: str, report: Report, write: bool, tell: Callable[[str], object], show: Callable[[str], object]
) -> None:
    report.files += 1
    try:
        with open(path, "rb") as file:
            ported = portSource(file.read())
        if write and ported.after != ported.before:
            replace(path, ported.after)
    except UnreadableError as error:
        report.errors += 1
        tell(f"{path}: not ported: {error}")
        return
    except OSError as error:
        report.errors += 1
        tell(f"{path}: {error.strerror or error}")
        return
    for line in _lines(path, ported):
        tell(line)
    report.left += len(ported.findings)
    if ported.after != ported.before:
        report.changed.append(path)
        show("".join(diffOf(path, ported)))
    if (ported.after != ported.before or b"import reactor" in ported.after) and hides(path):
        report.left += 1
        tell(f"{path}:1:1: reactor: rename {hides(path)}, which would be imported in place of the package")


def _lines(path: str, ported: Ported) -> Iterator[str]:
    for finding in ported.findings:
        yield _line(path, finding)
    for finding in ported.notes:
        yield _line(path, finding)


def _line(path: str, finding: Finding) -> str:
    return f"{path}:{finding.line}:{finding.column}: {finding.name}: {finding.advice}"


def hides(path: str) -> str | None:
    """Return the module beside a program, not in a package, that hides the package `reactor`; None if none does."""
    folder = os.path.dirname(path)
    if os.path.exists(os.path.join(folder, "__init__.py")):
        return None
    for name in (f"{HIDES}.py", os.path.join(HIDES, "__init__.py")):
        other = os.path.join(folder, name)
        if os.path.exists(other):
            return other
    return None


def diffOf(path: str, ported: Ported) -> Iterator[str]:
    """Yield the lines of a unified diff, which patch(1) can apply. Bytes that are no UTF-8 are shown as escapes."""
    before, after = ([line + "\n" for line in _text(data).split("\n")] for data in (ported.before, ported.after))
    shown = path.lstrip("/")
    for line in difflib.unified_diff(_ended(before), _ended(after), f"a/{shown}", f"b/{shown}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _ended(lines: list[str]) -> list[str]:
    """A text that ends in a line end has one line less; else its last line has none."""
    last = lines.pop()
    return lines if last == "\n" else [*lines, last.removesuffix("\n")]
