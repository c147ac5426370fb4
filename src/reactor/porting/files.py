"""The Python files of paths, and how one is replaced."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress

from reactor import _overwritten as _overwritten

SUFFIXES = (".py", ".pyi", ".pyw", ".tac")
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
VENV = "pyvenv.cfg"


def filesOf(path: str, errors: list[OSError]) -> Iterator[str]:
    """Yield the Python files at or below `path`, in order. An OSError of a directory is appended to `errors`.

    A path that is a file counts, whatever its name. In a directory these count: .py, .pyi, .pyw and .tac, and scripts
    whose first line names python. Hidden directories, virtual environments and links to directories are left out.
    """
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not _isSkipped(folder, name))
        for name in sorted(names):
            file = os.path.join(folder, name)
            if os.path.isfile(file) and (name.endswith(SUFFIXES) or _isScript(file)):
                yield file


def _isSkipped(folder: str, name: str) -> bool:
    return name.startswith(".") or name in SKIPPED or os.path.exists(os.path.join(folder, name, VENV))


def _isScript(path: str) -> bool:
    if os.path.splitext(path)[1]:
        return False
    with suppress(OSError), open(path, "rb") as file:
        first = file.readline(200)
        return first.startswith(b"#!") and b"python" in first
    return False


def replace(path: str, data: bytes) -> None:
    """Replace the content of a file as a whole: a reader sees the old one or the new one. Its mode stays.

    A link stays, and the file that it leads to is replaced. OSError if that fails; the old file stays then.
    """
    target = os.path.realpath(path)
    found = os.stat(target)
    descriptor, name = tempfile.mkstemp(prefix=".linereactor-", dir=os.path.dirname(target))
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            with suppress(OSError):  # another user's file stays readable for its user by the mode at best
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
