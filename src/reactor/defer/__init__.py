"""Deferreds: results that are not there yet. This is the public face of the package's modules."""

from __future__ import annotations

from reactor._faces import publish
from reactor.defer.chain import AlreadyCalledError, CancelledError, DebugInfo, passthru
from reactor.defer.combinators import (
    FAILURE,
    SUCCESS,
    DeferredList,
    FailureGroup,
    FirstError,
    gatherResults,
    race,
)
from reactor.defer.deferred import (
    Deferred,
    NotACoroutineError,
    TimeoutError,
    ensureDeferred,
    execute,
    fail,
    getDebugging,
    logError,
    maybeDeferred,
    setDebugging,
    succeed,
    timeout,
)
from reactor.defer.filelock import AlreadyTryingToLockError, DeferredFilesystemLock
from reactor.defer.inline import inlineCallbacks, returnValue
from reactor.defer.primitives import DeferredLock, DeferredQueue, DeferredSemaphore, QueueOverflow, QueueUnderflow

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "DebugInfo",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "getDebugging",
    "inlineCallbacks",
    "logError",
    "maybeDeferred",
    "passthru",
    "race",
    "returnValue",
    "setDebugging",
    "succeed",
    "timeout",
]

publish(globals())
