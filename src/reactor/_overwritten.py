"""Whether the package `reactor` that this file lies in is linereactor's.

PyPI has another distribution with the import name `reactor`. pip installs both into one folder. The later one
overwrites `reactor/__init__.py`, and uninstalling either one removes that file. The modules that import no other module
of the package import this one. So the error says in words what has happened, whatever is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

DISTRIBUTION = "linereactor"
FILE = "reactor/__init__.py"
INSTALL = f"python -m pip install --force-reinstall {DISTRIBUTION}"


def otherOwners() -> list[str]:
    """Return name and version of each other installed distribution that claims the package's `__init__.py`."""
    metadata: Any = import_module("importlib.metadata")  # the import costs milliseconds, so a fault alone brings it
    return sorted(
        f"{each.metadata['Name']} {each.version}"
        for each in metadata.distributions()
        if each.metadata["Name"] != DISTRIBUTION and FILE in map(str, each.files or ())
    )


def fault(package: Any) -> str | None:
    """Return what is wrong with the imported `package`, in words; None if it is linereactor's."""
    if getattr(package, "__distribution__", None) == DISTRIBUTION:
        return None
    path = getattr(package, "__file__", None)
    if path is None:
        return (
            f"{FILE} is missing beside {__file__}: uninstalling another distribution may have removed it. "
            f"Install {DISTRIBUTION} again: {INSTALL}"
        )
    owners = " and ".join(otherOwners()) or "another distribution"
    return (
        f"{path} is not {DISTRIBUTION}'s: {owners} has the import name 'reactor' too. "
        f"Uninstall it, then install {DISTRIBUTION} again: {INSTALL}"
    )


package = sys.modules.get("reactor")
wrong = fault(package)
if wrong is not None:
    raise ImportError(wrong, name="reactor", path=getattr(package, "__file__", None))
