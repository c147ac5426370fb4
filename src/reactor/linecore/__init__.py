"""The line core: `LineBuffer`, which is fed with bytes as they arrive, and from which complete lines are taken.

There are two line cores with one contract. One is compiled: `reactor._linebuf`, with `reactor._sending` and
`reactor._announcing`. The other is in Python: `_pure.py`, `_sending.py` and `_announcing.py` of this package.
IMPLEMENTATION says which one this process uses. It is "compiled" if the extensions were built, and "pure" if they were
not or if REACTOR_PURE=1 is in the environment. If an extension is there and cannot be imported, a RuntimeWarning says
so, and the pure core is used.

All of this is for one thread: that of the reactor whose connection it serves. A program that uses an object from two
threads breaks that rule. Then each method is still done wholly, or not at all: no byte is lost or doubled, and nothing
crashes, with or without the GIL. But no order is promised between the threads. The compiled core has its locks in C,
and the pure one has them in `_locked.py`; with the GIL both do without.

A LineBuffer calls no code of its user. Its contract:

- `LineBuffer(delimiter=b"\\r\\n", maxLength=16384, stripCR=False)`: all three are attributes and may change at any
  time; what is buffered is then looked at anew. `delimiter` takes any bytes-like object (TypeError for others); with an
  empty one nothing is ever a line. A `maxLength` beyond UNLIMITED counts as UNLIMITED.
- `feed(data)` takes bytes, a bytearray or a memoryview: all of it or, if it raises, nothing. bytes that an empty buffer
  is fed with are adopted, not copied.
- Iterating cuts one line a step, as exact bytes, without its delimiter, and without one CR at its end if `stripCR`. It
  ends where no complete line is left or the next line is longer than `maxLength`, and may go on after any change.
- `cut(delimiter)` sets the delimiter and returns the next line, however long, with its CR, or None.
- `lines(untilEmpty=False)` returns all that iterating would give; if it raises, nothing was cut. With `untilEmpty` the
  list also ends behind an empty line, which is its last one.
- `exceeded`: whether the line at the front is too long. A complete line is too long if it is longer than `maxLength`.
  An unfinished line is too long from `maxLength + len(delimiter)` bytes on. With `stripCR` it may have one byte more,
  as the CR counts as part of the delimiter.
- `skip()` returns what is there of the line at the front and drops it, up to and including its delimiter. If the
  delimiter has not arrived yet, the rest of the line is dropped as it arrives. Only the possible start of a delimiter
  is held meanwhile. `skipping` tells whether that goes on. The bytes that are held of such a line count for nothing,
  and no method returns them. A delimiter that is set meanwhile ends the line.
- `take()` returns all bytes and empties the buffer, `take(count)` only the first `count` (ValueError if negative);
  `peek()` returns all bytes. `clear()` empties the buffer, and ends a skip.
- `len(buffer)`: the number of bytes held. `holds`: whether there are any, those of a skipped line included.
  `lineCount`: how many lines have ended so far, cut or skipped.
- Each byte is searched once and copied a bounded number of times, whatever the cuts of the input.

`finish(transport)` ends a delivery: `busy` is false then, and the tally of `transport` knows of the lines.

LineReceiver alone uses the following. While `busy` or `waiting` is set, the buffer only collects. `receive(owner, data,
transport)` feeds, and says how to go on. A line that is being skipped then ends at the `delimiter` of `owner`, unless
`owner` is `paused`. The answer is KEPT if there is nothing to do now. Otherwise `receive` has set `busy`, and answers
with one of these; the pure buffer answers with SLOW alone:

- SLOW: ask for each setting before each line.
- FAST: iterate. Each setting is known, and iteration ends if one changes. If no code keeps a line except the variable
  of that loop, the same object may be the next line.
- WATCHED: the same, and iteration ends, too, when any transport begins to close.
- BATCHED: take `lines()`. Each setting is known.
- STALE: read the settings, and call `follow` with them, which answers like this, or `refuse`.

`isDone()` then tells whether all is delivered, and no change happened meanwhile that must be looked at. `isUnchanged()`
tells the latter alone: more `lines()` may be taken.
`send(owner, transport, line)` does and returns what `transport.write(line + owner.delimiter)` does. `sendAll(owner,
transport, lines)` does the same for any iterable of lines, in one write, or in none if there are no lines. Both raise
TypeError for lines that are not bytes-like, as `checkLine(line)` does.

LineOnlyReceiver alone uses `split(data, delimiter)`. It feeds, and gives up all complete lines, however long, as
`Lines`, which are false if there are none (ValueError if the delimiter is empty). Iterating gives nothing by itself.
If the class of `owner` announces, `watch(owner, maxLength, transport)` lets it give lines, in the way that FAST does.
It then gives them for as long as none is too long and no setting changes. `watch` returns whether iteration ends, too,
when a transport begins to close. `rest()` returns a list of what iterating has left. With the pure `Lines`, that is
everything.

`announces(cls, root, names)` tells whether setting one of the attributes `names` on an instance of `cls` is announced
to the instance's buffer. To make it so, it changes class attributes of `root` and its subclasses, with the compiled
core: docs/semantics.md says how. `announcingFromTheStart(cls, root, names)` does the same for a class that has no
instance yet.

Transports alone use `OutputBuffer`, a base class that gathers what is written:

- `write(data)` takes what is in a bytes-like object (TypeError for others), and calls `_passedMark(size of data)` if
  more than `_mark` bytes then wait. `_mark` is -1 at first. `unsent` tells how many wait.
- `_hold(highWater)` makes `_mark`, if that is negative, `highWater`. `_holdRead(data)` does it with the attribute of
  that name, and counts the bytes of a read. `_tallySent(count)` counts bytes that were sent past the buffer.
- `_front()` returns what waits, as one bytes object or bytearray, or None, and then `_mark` is -1 again. `_drop(count)`
  forgets the first `count` bytes of it, and returns whether nothing is left; if so, `_mark` is -1. `_discardOutput()`
  forgets all.

`Tally` counts what a connection carries, as whole numbers: `bytesIn`, `bytesOut`, `lines`, `requests`, `overlong`, and
`pending`, the bytes of lines that have not been delivered. A transport has one in `tally`, or None. It counts bytes if
its `countsBytes` is true. `buffer.count(tally)` makes a LineBuffer the one that counts there. It does so once a read,
in `finish(transport)`, so a line costs nothing. A protocol that finds its messages itself calls
`addLines(lines, pending)` after a read, with what has been added to each. All of it counts for another one, too, if
that is in `whole`. `leave()` takes `pending` from it, and ends that. Subclasses define what is called:

- `_passedLimit()` of `whole`, when more than `maxPending` of that are pending.
- `_passedRate()`, after a read behind which `lines` is above `linesMark`, or `bytesIn` above `bytesMark`.
- `ended(transport, reason)`, by a transport at its end.

The base of OutputBuffer, `Disconnectable`, has nothing but `disconnecting`, false at first. Setting it is announced, so
iteration for a protocol on such a transport can be WATCHED.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from reactor._gil import hasGIL
from reactor.linecore._pure import BATCHED, FAST, KEPT, SLOW, STALE, UNLIMITED, WATCHED
from reactor.linecore._sending import asBytes, checkLine

IMPLEMENTATION = "pure"

if TYPE_CHECKING:
    from reactor._linebuf import (
        Disconnectable,
        LineBuffer,
        Lines,
        OutputBuffer,
        Tally,
        announces,
        announcingFromTheStart,
    )
else:
    if os.environ.get("REACTOR_PURE") != "1":
        try:
            from reactor._linebuf import (
                Disconnectable,
                LineBuffer,
                Lines,
                OutputBuffer,
                Tally,
                announces,
                announcingFromTheStart,
            )
        except Exception as error:
            # A pure build has no such file. A file that is there and cannot be used is a fault: of another system, of
            # another version (Cython raises ValueError), or cut short.
            if not isinstance(error, ModuleNotFoundError) or error.name != "reactor._linebuf":
                warnings.warn(f"the compiled line core cannot be used: {error}", RuntimeWarning, stacklevel=2)
        else:
            IMPLEMENTATION = "compiled"
    if IMPLEMENTATION == "pure":
        from reactor.linecore._announcing import announces, announcingFromTheStart
        from reactor.linecore._pure import Lines
        from reactor.linecore._sending import Disconnectable, Tally

        if hasGIL():
            from reactor.linecore._pure import LineBuffer
            from reactor.linecore._sending import OutputBuffer
        else:
            from reactor.linecore._locked import LineBuffer, OutputBuffer

__all__ = [
    "BATCHED",
    "FAST",
    "IMPLEMENTATION",
    "KEPT",
    "SLOW",
    "STALE",
    "UNLIMITED",
    "WATCHED",
    "Disconnectable",
    "LineBuffer",
    "Lines",
    "OutputBuffer",
    "Tally",
    "announces",
    "announcingFromTheStart",
    "asBytes",
    "checkLine",
]
