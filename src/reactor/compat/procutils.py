"""The function of `twisted.python.procutils`."""

from __future__ import annotations

import os


def which(name: str, flags: int = os.X_OK) -> list[str]:
    """Return the paths of all files `name` in the directories of PATH that os.access allows with `flags`."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [path for path in (os.path.join(folder, name) for folder in folders) if os.access(path, flags)]
