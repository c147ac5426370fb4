"""The names of `twisted.protocols.basic` in one module, for programs that write `basic.LineReceiver`."""

from __future__ import annotations

from reactor.filesender import FileSender
from reactor.linereceiver import LineOnlyReceiver, LineReceiver
from reactor.protocol.pauseable import PauseableMixin as _PauseableMixin  # programs know it by this name
from reactor.stringreceivers import (
    IncompleteNetstring,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    NetstringParseError,
    NetstringReceiver,
    StatefulStringProtocol,
    StringTooLongError,
)

__all__ = [
    "FileSender",
    "IncompleteNetstring",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "LineOnlyReceiver",
    "LineReceiver",
    "NetstringParseError",
    "NetstringReceiver",
    "StatefulStringProtocol",
    "StringTooLongError",
    "_PauseableMixin",
]
