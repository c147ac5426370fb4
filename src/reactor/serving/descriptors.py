"""The number of descriptors that the command may open."""

from __future__ import annotations

import resource
from contextlib import suppress


def allowDescriptors() -> None:
    """Raise the soft limit on open files to the hard one: each connection takes one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
