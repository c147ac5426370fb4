"""The line core: `LineBuffer`, which bytes are fed into as they come and complete lines are taken from.

There are two of one contract, compiled (`reactor._linebuf`) and in Python (`reactor.linecore._pure`). IMPLEMENTATION
says which one this process uses: "compiled" if it was built, "pure" if it was not or if REACTOR_PURE=1 is in the
environment. An extension that is there and cannot be imported is warned of, and replaced by the pure one.

A LineBuffer belongs to one thread and calls nobody back. Its contract:

- `LineBuffer(delimiter=b"\\r\\n", maxLength=16384, stripCR=False)`; all three are attributes and may change at any
  time; what is buffered is then looked at anew. `delimiter` takes any bytes-like object (TypeError for others); with an
  empty one nothing is ever a line. A `maxLength` beyond UNLIMITED counts as UNLIMITED.
- `feed(data)` takes bytes, a bytearray or a memoryview: all of it or, if it raises, nothing. bytes that come to an
  empty buffer are adopted, not copied.
- Iterating cuts one line a step, as exact bytes, without its delimiter, and without one CR at its end if `stripCR`. It
  ends where no complete line is left or the next one is longer than `maxLength`, and may go on after any change.
- `cut(delimiter)` sets the delimiter and returns the next line as it stands, however long, with its CR, or None.
- `lines()` returns all that iterating would give; if it raises, nothing was cut.
- `exceeded`: whether the line at the front is too long: a complete one longer than `maxLength`, an unfinished one of at
  least `maxLength + len(delimiter)` bytes (one more if `stripCR`: the CR counts as part of the delimiter).
- `skip()` returns what is there of the line at the front and drops it, up to and including its delimiter; if that is
  yet to come, so is what the line goes on with, as it comes, while only the possible start of a delimiter is held.
  `skipping` tells whether that goes on. What is held of such a line counts for nothing, and nobody gets it: no method
  returns it. A delimiter that is set meanwhile ends the line.
- `take()` returns all bytes and empties the buffer, `take(count)` only the first `count` (ValueError if negative);
  `peek()` returns all bytes. `clear()` empties the buffer, and ends a skip.
- `len(buffer)`: the bytes held. `holds`: whether there are any, those of a line that is skipped included.
  `lineCount`: how many lines ended so far, cut or skipped.
- Each byte is searched once and copied a bounded number of times, whatever the cuts of the input.

For LineReceiver alone there are `busy` and `waiting` (while one is set, the buffer only collects), and
`receive(owner, data, transport)`: it feeds (a line that is skipped ends at the `delimiter` of `owner`, and not while
that is `paused`), and says how to go on: KEPT, nothing to do now; else it has set `busy`, and
one of these, of which the pure buffer has EXACT alone:

- EXACT: ask for each setting before each line.
- FAST: iterate, for each setting is known, and iteration ends if one changes. A line that is kept nowhere but in the
  variable of that loop may be the object that comes back as the next one.
- WATCHED: the same, and iteration ends, too, when any transport begins to close.
- BATCHED: take `lines()`, for each setting is known.
- STALE: find out whether one of the last three is possible, with `follow`, which answers like this, or `refuse`.

`isDone()` then tells whether all is delivered, and nothing has changed meanwhile that must be looked at.
`send(owner, transport, line)` does and returns what `transport.write(line + owner.delimiter)` does; `sendAll(owner,
transport, lines)`, the same for any iterable of lines, in one write, and nothing if there are none. TypeError for lines
that are not bytes-like, which `checkLine(line)` raises.

For LineOnlyReceiver there is `split(data, delimiter)`: it feeds, and gives up all complete lines, however long, as
`Lines`, which are false if there are none (ValueError if the delimiter is empty). Iterating gives nothing by itself.
`watch(owner, maxLength, transport)`, if the class of `owner` announces, lets it give lines, in the way that FAST does,
for as long as none is too long and no setting changes; it returns whether iteration ends, too, when a transport begins
to close. `rest()` returns a list of what iterating has left. With the pure ones, that is everything.

The way out has a buffer too, for transports alone: `OutputBuffer`, a base class that gathers what is written.

- `write(data)` takes what is in a bytes-like object (TypeError for others), and calls `_passedMark(size of data)` if
  more than `_mark` bytes then wait. `_mark` is -1 at first. `unsent` tells how many wait.
- `_hold(highWater)` makes `_mark`, if that is negative, `highWater`.
- `_front()` returns what waits, as one bytes object or bytearray, or None, and then `_mark` is -1 again. `_drop(count)`
  forgets the first `count` bytes of it, and returns whether nothing is left; if so, `_mark` is -1. `_discardOutput()`
  forgets all.

Its own base, `Disconnectable`, has nothing but `disconnecting`, false at first, and announces when that is set:
iteration for a protocol on such a transport can be WATCHED.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from reactor.linecore._pure import BATCHED, EXACT, FAST, KEPT, STALE, UNLIMITED, WATCHED, asBytes, checkLine

IMPLEMENTATION = "pure"

if TYPE_CHECKING:
    from reactor._linebuf import Disconnectable, LineBuffer, Lines, OutputBuffer, announces, announcingFromTheStart
else:
    if os.environ.get("REACTOR_PURE") != "1":
        try:
            from reactor._linebuf import (
                Disconnectable,
                LineBuffer,
                Lines,
                OutputBuffer,
                announces,
                announcingFromTheStart,
            )
        except ImportError as error:
            # Not there is what a pure build is like; there and unusable is a fault.
            if not isinstance(error, ModuleNotFoundError) or error.name != "reactor._linebuf":
                warnings.warn(f"the compiled line core cannot be used: {error}", RuntimeWarning, stacklevel=2)
        else:
            IMPLEMENTATION = "compiled"
    if IMPLEMENTATION == "pure":
        from reactor.linecore._pure import (
            Disconnectable,
            LineBuffer,
            Lines,
            OutputBuffer,
            announces,
            announcingFromTheStart,
        )

__all__ = [
    "BATCHED",
    "EXACT",
    "FAST",
    "IMPLEMENTATION",
    "KEPT",
    "STALE",
    "UNLIMITED",
    "WATCHED",
    "Disconnectable",
    "LineBuffer",
    "Lines",
    "OutputBuffer",
    "announces",
    "announcingFromTheStart",
    "asBytes",
    "checkLine",
]
