"""Whether CPython's global lock lets one thread at a time run, in this process."""

from __future__ import annotations

import sys

from reactor import _overwritten as _overwritten


def hasGIL() -> bool:
    """Whether only one thread at a time runs Python: always, except on a free-threaded build with its GIL off.

    A GIL that is on stays on. One that is off is turned on by the import of an extension that needs it.
    """
    enabled = getattr(sys, "_is_gil_enabled", None)
    return enabled is None or bool(enabled())
