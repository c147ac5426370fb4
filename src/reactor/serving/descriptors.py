"""The number of descriptors that the command may open."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reactor._later import later

if TYPE_CHECKING:
    import resource
else:
    resource = later("resource", globals())


def allowDescriptors() -> None:
    """Raise the soft limit on open files to the hard one, if the system has them: each connection takes one."""
    with suppress(ModuleNotFoundError, OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
