"""The names of `twisted.internet.base` that programs ask for with isinstance(), and whose `debug` they set."""

from __future__ import annotations

from reactor.loops.base import ReactorBase
from reactor.timers import DelayedCall

__all__ = ["DelayedCall", "ReactorBase"]
