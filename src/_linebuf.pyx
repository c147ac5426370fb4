# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: freethreading_compatible=True
# No GIL is needed: "Without the GIL" below says which lock guards each part.
"""The compiled LineBuffer: buffering, cutting, MAX_LENGTH. reactor.linecore has its contract.

How a receiver is answered
==========================

A Follower's fields say what is known of the settings of `owner`, the receiver. The first row that is true counts:

    answer    when                                            the receiver then
    KEPT      busy or waiting                                 does nothing: the bytes are kept
    STALE     settings is UNKNOWN, or tag is another          reads its settings, and calls follow() or refuse()
    SLOW      settings is REFUSED                             asks for each setting before each line
    BATCHED   settings is KNOWN, and batches                  takes lines()
    WATCHED   settings is KNOWN, and watches                  iterates
    FAST      settings is KNOWN                               iterates, and asks its transport after each line

`settings` changes in these ways alone; `tag`, the version number of the owner's class, is taken at each but the first:

    from      to         by
    any       UNKNOWN    a setting that is announced; receive(), if the owner's class has another number than `tag`
    any       KNOWN      follow()
    any       REFUSED    refuse(); follow(), for values that compare in a way of their own
    any       UNKNOWN    either of these, if the class has no number

While the receiver is busy, each of these must hold, or the step ends the iteration, and isDone() is false:

    what              iterating needs it      isDone() needs it       it ends when
    settings, tag     always                  always                  a setting is announced, or the class changes
    closingCount      if watches              if watches              any transport begins to close
    spent             -                       always                  more is received
    not batches       -                       unless watches          -

Where the bytes are
===================

The bytes are, in order, those of the tail from `start` to `size`, then those of the chunk from `pos` on. Either may be
missing. The chunk is a read, adopted without a copy. When no complete line is left, the rest of the chunk becomes the
tail, which is memory of our own that grows by an eighth. So a line that trickles in costs linear time, and half a line
costs little more memory than its own size. A read that follows a tail is adopted beside it. Only the piece that
completes the tail's line is copied over. A read that arrives while nothing is cut is copied to the tail whole.

`searched` is an offset, in the tail if there is one, else in the chunk: no delimiter begins before it. It stays at a
delimiter that was found until the line is cut, and goes back only when the delimiter changes. The search looks for the
delimiter's last byte and compares the rest. All matches have one length, so the first match is the leftmost.

Nothing is lost or doubled if memory runs out. A line is made before the buffer moves past it, and bytes are copied to
their new place before their old place is given up. Where a copy only saves memory, its failure is ignored.

How most lines cost no object
=============================

The line that a receiver's loop got last is remembered here, too, as `lastLine`. The same object becomes the next line,
if that is about as long, and if no other code has the object then (see `line_reuse`). Only those loops may ask, because
the reference of their variable is counted.

Pointers into the bytes are never held across a Python call.

Without the GIL
===============

A LineBuffer, and the Lines that it gives, belong to the thread that delivers. No other thread may use them, but
breaking that rule must not break the process. So each method runs in the critical section of its object, which is
compiled away with the GIL. Such a section ends for a while where a method calls code in Python. There the fields are as
between two methods, because any handler may feed, clear or cut. Between two such calls nothing is let go of: memory
comes from functions that never wait. A list that is filled is not known to any other thread yet.

Lines that two threads feed into one buffer come out whole, in an order that nobody chose. `lastLine` is not used, as a
reference count tells nothing there.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memcmp, memcpy, memmove

from reactor._announcing cimport KNOWN, REFUSED, UNKNOWN, Follower, announcementCount
from reactor._linetricks cimport (
    LINE_BEGIN,
    LINE_END,
    LINE_LOCK,
    LINE_OWNED,
    LINE_READ,
    LINE_SOURCE_HASH,
    LINE_TAG,
    LINE_UNLOCK,
    PY_SSIZE_T_MAX,
    line_isReusable,
    line_list,
    line_new,
    line_push,
    line_reuse,
    line_search,
    line_section,
    line_take,
    new_bytes,
    size_in,
    text_in,
)
from reactor._sending cimport (
    OutputBuffer as Gathering,
    Tally as Counting,
    announces_closing,
    closingCount,
    raise_pending,
    send_line,
    send_lines,
    tally_lines,
)

from reactor._announcing import AnnouncingAttribute, announces, announcingFromTheStart
from reactor._arguments import checkDelimiter
from reactor._sending import Disconnectable, OutputBuffer, Tally

SOURCE_HASH = LINE_SOURCE_HASH.decode("ascii")

# The answers of receive() and follow(): the table above.
cdef enum:
    KEPT = 0
    FAST = 1
    STALE = 2
    SLOW = 3
    WATCHED = 4
    BATCHED = 5

cdef enum:
    WAITING = 1
    COUNTED = 2

# A read of at most this size is copied to a tail that is there rather than adopted beside it.
cdef enum:
    SMALL = 256

# Lines for which a batch has room at once, at most.
cdef enum:
    LIST_LIMIT = 256

cdef Py_ssize_t UNLIMITED = PY_SSIZE_T_MAX // 2


cdef struct Tail:
    Py_ssize_t start
    Py_ssize_t size
    Py_ssize_t capacity


cdef inline char *bytes_of(Tail *tail) noexcept:
    return <char *>(tail + 1)


cdef inline bint is_same(const char *text, const char *other, Py_ssize_t size) noexcept:
    return size == 0 or memcmp(text, other, <size_t>size) == 0


@cython.final
cdef class LineBuffer(Follower):
    """Bytes go in as they were read, lines come out. reactor.linecore has the contract."""

    cdef bytes chunk
    cdef bytes separator
    cdef Tail *tail
    cdef Py_ssize_t pos
    cdef Py_ssize_t searched
    cdef Py_ssize_t limit
    cdef readonly Py_ssize_t lineCount
    # The receiver, while it is busy. The buffer holds a reference, because each step reads the receiver's class.
    cdef PyObject *owner
    # `closingCount` when the present read came.
    cdef unsigned int closingCountAtRead
    cdef unsigned char isBusy
    # WAITING, if a handler's result is missing, and COUNTED, if a tally gets the lines.
    cdef unsigned char isWaiting
    cdef unsigned char strips
    cdef unsigned char skipping

    def __cinit__(self, delimiter=b"\r\n", maxLength=16384, stripCR=False):
        self.settings = UNKNOWN
        self.separator = b""
        self.delimiter = delimiter
        self.maxLength = maxLength
        self.stripCR = stripCR

    def __dealloc__(self):
        PyMem_Free(self.tail)
        Py_XDECREF(self.owner)
        keep(<PyObject *>self, NULL)

    @cython.critical_section
    def __len__(self):
        return 0 if still_skips(self) else size_of(self)

    @property
    def holds(self):
        cdef line_section section
        LINE_BEGIN(&section, self)
        holds = size_of(self) > 0
        LINE_END(&section)
        return holds

    @property
    def hasFollowed(self):
        """Whether it has known, or refused, the settings of an owner."""
        with cython.critical_section(self):
            return self.tag != 0

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *line
        cdef line_section section
        LINE_BEGIN(&section, self)
        line = (<PyObject *(*)(LineBuffer) noexcept>step)(self)  # raise_pending() tells of errors
        LINE_END(&section)
        if line == NULL:
            raise_pending()
            raise StopIteration
        return LINE_OWNED(line)

    @property
    def delimiter(self):
        with cython.critical_section(self):
            return self.separator

    @delimiter.setter
    def delimiter(self, value):
        with cython.critical_section(self):
            set_separator(self, value)

    @property
    def maxLength(self):
        with cython.critical_section(self):
            return self.limit

    @maxLength.setter
    def maxLength(self, value):
        cdef Py_ssize_t limit = limit_of(value)
        with cython.critical_section(self):
            self.limit = limit

    @property
    def stripCR(self):
        with cython.critical_section(self):
            return self.strips != 0

    @stripCR.setter
    def stripCR(self, value):
        cdef bint strips = value
        with cython.critical_section(self):
            self.strips = strips

    @property
    def waiting(self):
        with cython.critical_section(self):
            return self.isWaiting & WAITING != 0

    @waiting.setter
    def waiting(self, value):
        cdef bint waits = value
        with cython.critical_section(self):
            self.isWaiting = (self.isWaiting & COUNTED) | (WAITING if waits else 0)

    @property
    def busy(self):
        with cython.critical_section(self):
            return self.isBusy != 0

    @busy.setter
    def busy(self, value):
        cdef bint isBusy = value
        with cython.critical_section(self):
            self.isBusy = isBusy
            if not isBusy:
                let_go(self)

    @cython.critical_section
    def count(self, tally):
        self.isWaiting |= COUNTED
        with cython.critical_section(<Counting?>tally):
            (<Counting>tally).source = <void *>self
            (<Counting>tally).counted = self.lineCount

    def finish(self, transport):
        cdef line_section section
        cdef bint isCounted
        LINE_BEGIN(&section, self)
        self.isBusy = 0
        let_go(self)
        isCounted = self.isWaiting & COUNTED
        LINE_END(&section)
        if isCounted:
            tell_tally(self, transport)

    @property
    def exceeded(self):
        with cython.critical_section(self):
            if locate(self):
                return length_of(self) > self.limit
            return is_too_long(self, size_of(self))

    @property
    def skipping(self):
        with cython.critical_section(self):
            return still_skips(self)

    @cython.critical_section
    def feed(self, data):
        add_read(self, data)
        still_skips(self)

    @cython.critical_section
    def cut(self, delimiter):
        if delimiter is not self.separator:
            set_separator(self, delimiter)
        return cut_line(self) if locate(self) else None

    @cython.critical_section
    def lines(self, untilEmpty=False):
        """The batch. If memory runs out it is what was cut so far; only if that is nothing, MemoryError is raised."""
        cdef list lines = None
        cdef Py_ssize_t last = 0 if untilEmpty else -1  # a line of this length is the last
        cdef PyObject *line
        cdef Py_ssize_t length, each
        try:
            while True:
                if not locate(self):
                    self.spent = not is_too_long(self, size_of(self))
                    break
                length = length_of(self)
                if length > self.limit:
                    break
                if lines is None:
                    # As long as it becomes if all lines are like the first: growing costs a tenth of the work.
                    each = length + size_in(<PyObject *>self.separator)
                    lines = line_list(min(size_of(self) // each + 1, LIST_LIMIT))
                line = new_bytes(front_of(self), length)
                line_push(lines, line)
                advance(self)
                if length <= last:
                    self.spent = size_of(self) == 0
                    break
        except MemoryError:
            if not lines:
                raise
        return [] if lines is None else lines

    @cython.critical_section
    def peek(self):
        return b"" if still_skips(self) else contents_of(self)

    @cython.critical_section
    def take(self, count=None):
        cdef Py_ssize_t size = size_of(self) if count is None else count
        if size < 0:
            raise ValueError(f"cannot take {count} bytes")
        if still_skips(self):
            return b""
        if size < size_of(self):
            return take_front(self, size)
        cdef bytes everything = contents_of(self)
        drop_all(self)
        self.spent = 1
        return everything

    @cython.critical_section
    def clear(self):
        drop_all(self)

    @cython.critical_section
    def skip(self):
        cdef bytes dropped
        if locate(self):
            return cut_line(self)
        if still_skips(self):
            return b""
        dropped = contents_of(self)
        if size_in(<PyObject *>self.separator):
            self.skipping = 1
            locate(self)
        else:
            drop_all(self)
        return dropped

    def isDone(self):
        cdef line_section section
        cdef bint isDone
        LINE_BEGIN(&section, self)
        isDone = self.spent != 0 and is_unchanged(self) and (self.watches != 0 or not self.batches)
        LINE_END(&section)
        return isDone

    @cython.critical_section
    def isUnchanged(self):
        return is_unchanged(self)

    def receive(self, owner, data, transport):
        cdef line_section section
        cdef int answer
        LINE_BEGIN(&section, self)
        answer = (<int (*)(LineBuffer, object, object, object) noexcept>take_read)(self, owner, data, transport)
        LINE_END(&section)
        if answer < 0:
            raise_pending()
        return answer

    @cython.critical_section
    def follow(self, owner, delimiter, maxLength, stripCR, batches):
        """Know the settings of `owner`, whose class announces, from now on. SLOW if these values cannot be known."""
        # A number of another type may compare in a way of its own.
        if not (isinstance(delimiter, bytes) and type(maxLength) in (int, bool) and delimiter):
            refuse_owner(self, owner)
            return SLOW
        set_separator(self, delimiter)
        self.limit = limit_of(maxLength)
        self.strips = 1 if stripCR else 0
        self.tag = LINE_TAG(<PyObject *>owner)
        if not self.tag:
            self.settings = UNKNOWN
            return SLOW
        self.settings = KNOWN
        self.batches = 1 if batches else 0
        return how_to_go_on(self)

    def send(self, owner, transport, line):
        return send_line(owner, transport, line, known_separator(self, owner))

    def sendAll(self, owner, transport, lines):
        return send_lines(owner, transport, lines, known_separator(self, owner))

    @cython.critical_section
    def split(self, data, delimiter):
        """Feed `data`, and give up all complete lines, however long."""
        cdef bytes whole
        cdef Py_ssize_t end
        cdef Lines lines = Lines.__new__(Lines)
        set_separator(self, delimiter)
        if not size_in(<PyObject *>self.separator):
            raise ValueError("the delimiter is empty")
        add_read(self, data)
        if locate(self):
            lines.separator = self.separator
            whole = contents_of(self)
            end = end_of_lines(whole, self.separator)
            if end < PyBytes_GET_SIZE(whole):
                rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(whole) + end, PyBytes_GET_SIZE(whole) - end)
                drop_all(self)
                append(self, rest)
            else:
                drop_all(self)
            lines.whole = whole
            lines.end = end
            lines.buffer = self
        return lines

    @cython.critical_section
    def refuse(self, owner):
        """Answer SLOW for as long as the class of `owner` is as it is, and no setting is announced."""
        refuse_owner(self, owner)


cdef inline PyObject *step(LineBuffer self) except? NULL:
    """One step of the iteration: the next line, or NULL at its end."""
    cdef PyObject *line
    cdef Py_ssize_t length
    if self.owner != NULL and (
        self.settings != KNOWN
        or LINE_TAG(self.owner) != self.tag
        or (self.watches and self.closingCountAtRead != LINE_READ(&closingCount))
    ):
        return NULL
    if not locate(self):
        self.spent = not is_too_long(self, size_of(self))
        return NULL
    length = length_of(self)
    if length > self.limit:
        return NULL
    if self.owner == NULL:
        line = new_bytes(front_of(self), length)
    else:
        line = next_line(<PyObject *>self, front_of(self), length)
    advance(self)
    return line


cdef int set_separator(LineBuffer self, object value) except -1:
    cdef bytes separator
    if value is self.separator or (isinstance(value, bytes) and value == self.separator):
        return 0
    if not PyBytes_CheckExact(value):
        checkDelimiter(value)
    separator = as_bytes(value)
    self.separator = separator
    self.searched = self.pos if self.tail == NULL else self.tail.start
    return 0


cdef Py_ssize_t limit_of(object value) except? -1:
    cdef int overflow = 0
    cdef long long limit = PyLong_AsLongLongAndOverflow(value, &overflow) if isinstance(value, int) else 0
    if overflow or not isinstance(value, int):
        limit = UNLIMITED if value >= UNLIMITED else -UNLIMITED if value <= -UNLIMITED else int(value)
    return max(-UNLIMITED, min(UNLIMITED, limit))


cdef inline int take_read(LineBuffer self, object owner, object data, object transport) except -1:
    """Do receive()'s work, in the critical section."""
    cdef PyObject *before
    add_read(self, data)
    if self.isBusy or self.isWaiting & WAITING:
        if self.isWaiting & COUNTED:
            tell_tally(self, transport)
        return KEPT
    if self.skipping and not owner.paused:
        set_separator(self, owner.delimiter)
        still_skips(self)
    self.watches = announces_closing(transport)
    self.closingCountAtRead = LINE_READ(&closingCount)
    if self.isBusy:
        return KEPT  # another thread has begun, while this one asked the owner or the transport
    self.isBusy = 1
    Py_INCREF(owner)
    self.owner = <PyObject *>owner
    if LINE_TAG(self.owner) != self.tag:
        self.settings = UNKNOWN
    return how_to_go_on(self)


cdef void refuse_owner(LineBuffer self, object owner) noexcept:
    self.tag = LINE_TAG(<PyObject *>owner)
    self.settings = <unsigned char>(REFUSED if self.tag else UNKNOWN)


cdef inline bytes known_separator(LineBuffer self, object owner):
    """The delimiter of `owner` if it is known, else None."""
    cdef line_section section
    cdef bytes separator = None
    LINE_BEGIN(&section, self)
    if self.settings == KNOWN and LINE_TAG(<PyObject *>owner) == self.tag:
        separator = self.separator
    LINE_END(&section)
    return separator


@cython.final
cdef class Lines:
    """Complete lines of LineOnlyReceiver, which must ask for MAX_LENGTH and for the transport's state before each."""

    cdef bytes whole
    cdef bytes separator
    cdef Py_ssize_t pos
    cdef Py_ssize_t end
    cdef Py_ssize_t limit
    cdef object owner
    cdef unsigned int tag
    cdef unsigned int announcementCountAtRead
    cdef unsigned int closingCountAtRead
    cdef unsigned char watches
    # The buffer that counts the lines, until rest() has told it their number, and the number that iterating has given.
    cdef LineBuffer buffer
    cdef Py_ssize_t given

    def __dealloc__(self):
        keep(<PyObject *>self, NULL)

    def __bool__(self):
        cdef line_section section
        cdef bint isLeft
        LINE_BEGIN(&section, self)
        isLeft = self.pos < self.end
        LINE_END(&section)
        return isLeft

    @cython.critical_section
    def watch(self, owner, maxLength, transport):
        """Let iteration begin, for `owner`, whose class announces. Returns whether `transport` announces, too."""
        if type(maxLength) in (int, bool):
            self.limit = UNLIMITED if maxLength >= UNLIMITED else -1 if maxLength < 0 else maxLength
            self.tag = LINE_TAG(<PyObject *>owner)
            self.owner = owner if self.tag else None
        self.announcementCountAtRead = LINE_READ(&announcementCount)
        self.watches = announces_closing(transport)
        self.closingCountAtRead = LINE_READ(&closingCount)
        return self.watches != 0

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *line
        cdef line_section section
        LINE_BEGIN(&section, self)
        line = (<PyObject *(*)(Lines) noexcept>step_of)(self)
        LINE_END(&section)
        if line == NULL:
            raise_pending()
            raise StopIteration
        return LINE_OWNED(line)

    @cython.critical_section
    def rest(self):
        """Return the lines that iterating has not given, as a list; it gives no more."""
        cdef list rest = []
        cdef Py_ssize_t length
        keep(<PyObject *>self, NULL)
        self.owner = None
        while self.pos < self.end:
            length = length_of_next(self)
            rest.append(PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.whole) + self.pos, length))
            self.pos += length + size_in(<PyObject *>self.separator)
        buffer, self.buffer = self.buffer, None
        if buffer is not None:
            with cython.critical_section(buffer):
                buffer.lineCount += self.given + len(rest)
        return rest


cdef inline PyObject *step_of(Lines self) except? NULL:
    """One step of the iteration: the next line, or NULL at its end."""
    cdef Py_ssize_t length
    cdef PyObject *line
    if (
        self.owner is None
        or self.pos >= self.end
        or (self.watches and self.closingCountAtRead != LINE_READ(&closingCount))
        or self.announcementCountAtRead != LINE_READ(&announcementCount)
        or LINE_TAG(<PyObject *>self.owner) != self.tag
    ):
        return NULL
    length = length_of_next(self)
    if length > self.limit:
        return NULL
    line = next_line(<PyObject *>self, text_in(<PyObject *>self.whole) + self.pos, length)
    self.pos += length + size_in(<PyObject *>self.separator)
    self.given += 1
    return line


cdef inline Py_ssize_t length_of_next(Lines self) noexcept:
    return line_search(text_in(<PyObject *>self.whole), self.pos, self.end, <PyObject *>self.separator) - self.pos


cdef Py_ssize_t end_of_lines(bytes whole, bytes separator) noexcept:
    """Where the last complete line of `whole`, and its delimiter, end; there is one."""
    cdef const char *text = PyBytes_AS_STRING(whole)
    cdef const char *wanted = PyBytes_AS_STRING(separator)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(whole)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(separator)
    cdef Py_ssize_t at, end = 0
    for at in range(1, length):
        if is_same(wanted, wanted + at, length - at):
            break
    else:
        at = size - length
        while text[at + length - 1] != wanted[length - 1] or not is_same(text + at, wanted, length - 1):
            at -= 1
        return at + length
    # The delimiter's end is like its beginning: what is one can only be told from the left.
    at = line_search(text, 0, size, <PyObject *>separator)
    while at >= 0:
        end = at + length
        at = line_search(text, end, size, <PyObject *>separator)
    return end


# The line that the loop of a receiver got last, and the LineBuffer or Lines that gave it.
cdef PyObject *lastLine = NULL
cdef PyObject *lastLineSource = NULL


cdef inline void keep(PyObject *source, PyObject *line) noexcept:
    """Remember the line that `source` gives; with NULL, forget its last one."""
    global lastLine, lastLineSource
    cdef PyObject *before = lastLine
    if line != NULL and line_isReusable(line):
        line_take(line)
        lastLine = line
        lastLineSource = source
        Py_XDECREF(before)
    elif lastLineSource == source:
        lastLine = lastLineSource = NULL
        Py_XDECREF(before)


cdef inline PyObject *next_line(PyObject *source, const char *text, Py_ssize_t length) except NULL:
    """A line for the loop of a receiver: the last one again, if no other code has it."""
    cdef PyObject *line = lastLine
    if lastLineSource == source and line_reuse(line, length):
        memcpy(text_in(line), text, <size_t>length)
    else:
        line = line_new(text, length)
        keep(source, line)
    return line


cdef inline void let_go(LineBuffer self) noexcept:
    """The delivery of a read is over."""
    cdef PyObject *owner = self.owner
    self.owner = NULL
    if self.chunk is not None and self.pos == size_in(<PyObject *>self.chunk):
        drop_chunk(self)
    keep(<PyObject *>self, NULL)
    Py_XDECREF(owner)


cdef int tell_tally(LineBuffer self, object transport) except -1:
    """Count what has changed since the last time. It is done once a read, so a line costs nothing more."""
    cdef Counting tally
    cdef Py_ssize_t lines, more
    if isinstance(transport, Gathering):
        tally = tally_at(<Gathering>transport)
    else:
        found = getattr(transport, "tally", None)
        tally = <Counting>found if isinstance(found, Counting) else None
    if tally is not None and news_for(self, tally, &lines, &more):
        tally_lines(tally, lines, more)
    return 0


cdef inline Counting tally_at(Gathering transport):
    cdef Counting tally
    LINE_LOCK(&transport.mutex)
    tally = transport.counter
    LINE_UNLOCK(&transport.mutex)
    return tally


cdef inline bint news_for(LineBuffer self, Counting tally, Py_ssize_t *lines, Py_ssize_t *more) noexcept:
    """Whether there is something to count; if so, how many lines and bytes."""
    cdef line_section ours, theirs
    cdef bint isNews = False
    LINE_BEGIN(&ours, self)
    LINE_BEGIN(&theirs, tally)
    if tally.source == <void *>self:
        lines[0] = self.lineCount - <Py_ssize_t>tally.counted
        more[0] = size_of(self) - <Py_ssize_t>tally.pending
        isNews = lines[0] or more[0]
        if isNews:
            tally.counted = self.lineCount
    LINE_END(&theirs)
    LINE_END(&ours)
    return isNews


cdef inline int how_to_go_on(LineBuffer self) noexcept:
    if self.settings != KNOWN:
        return SLOW if self.settings == REFUSED else STALE
    return BATCHED if self.batches else WATCHED if self.watches else FAST


cdef inline bint is_unchanged(LineBuffer self) noexcept:
    """Whether the settings are known, and no transport has begun to close since the read, if that is watched."""
    if self.settings != KNOWN or self.owner == NULL or LINE_TAG(self.owner) != self.tag:
        return False
    return not self.watches or self.closingCountAtRead == LINE_READ(&closingCount)


cdef bytes as_bytes(object data):
    return <bytes>data if PyBytes_CheckExact(data) else bytes(memoryview(data))


cdef inline Py_ssize_t size_of(LineBuffer self) noexcept:
    cdef Py_ssize_t size = 0
    if self.tail != NULL:
        size = self.tail.size - self.tail.start
    if self.chunk is not None:
        size += size_in(<PyObject *>self.chunk) - self.pos
    return size


cdef inline bint is_too_long(LineBuffer self, Py_ssize_t size) noexcept:
    """Whether `size` bytes without a delimiter are more than the beginning of a line that fits and its delimiter."""
    return size > 0 and size >= self.limit + size_in(<PyObject *>self.separator) + self.strips and not self.skipping


cdef inline const char *front_of(LineBuffer self) noexcept:
    if self.tail != NULL:
        return bytes_of(self.tail) + self.tail.start
    return text_in(<PyObject *>self.chunk) + self.pos


cdef inline Py_ssize_t whole_length_of(LineBuffer self) noexcept:
    """The length of the line at the front, which locate() has found."""
    return self.searched - (self.pos if self.tail == NULL else self.tail.start)


cdef inline Py_ssize_t length_of(LineBuffer self) noexcept:
    """The same, without its CR if that is wished."""
    cdef Py_ssize_t length = whole_length_of(self)
    if self.strips and length and front_of(self)[length - 1] == c"\r":
        length -= 1
    return length


cdef inline void advance(LineBuffer self) noexcept:
    """Move past the line at the front, which locate() has found."""
    self.lineCount += 1
    self.searched += size_in(<PyObject *>self.separator)
    if self.tail == NULL:
        self.pos = self.searched
        return
    self.tail.start = self.searched
    if self.tail.start == self.tail.size:
        drop_tail(self)


cdef void drop_tail(LineBuffer self) noexcept:
    PyMem_Free(self.tail)
    self.tail = NULL
    self.searched = self.pos


cdef void drop_chunk(LineBuffer self) noexcept:
    self.chunk = None
    self.pos = 0
    if self.tail == NULL:
        self.searched = 0


cdef void drop_all(LineBuffer self) noexcept:
    self.skipping = 0
    drop_chunk(self)
    drop_tail(self)


cdef bytes cut_line(LineBuffer self):
    """The line at the front, which locate() has found, with its CR."""
    cdef bytes line = PyBytes_FromStringAndSize(front_of(self), whole_length_of(self))
    advance(self)
    return line


cdef bytes take_front(LineBuffer self, Py_ssize_t count):
    """Take the first bytes, fewer than there are, whatever they are part of."""
    cdef Py_ssize_t inTail
    cdef bytes taken
    if self.tail != NULL:
        inTail = self.tail.size - self.tail.start
        if count > inTail:
            move_to_tail(self, self.pos + count - inTail)
    taken = PyBytes_FromStringAndSize(front_of(self), count)
    if self.tail == NULL:
        self.pos += count
        self.searched = max(self.searched, self.pos)
        return taken
    self.tail.start += count
    self.searched = max(self.searched, self.tail.start)
    if self.tail.start == self.tail.size:
        drop_tail(self)
    return taken


cdef bytes contents_of(LineBuffer self):
    cdef bytes everything
    cdef Py_ssize_t inTail, inChunk
    if self.chunk is None and self.tail == NULL:
        return b""
    if self.tail == NULL and self.pos == 0:
        return self.chunk
    if self.chunk is None or self.tail == NULL:
        return PyBytes_FromStringAndSize(front_of(self), size_of(self))
    everything = PyBytes_FromStringAndSize(NULL, size_of(self))
    inTail = self.tail.size - self.tail.start
    memcpy(PyBytes_AS_STRING(everything), front_of(self), <size_t>inTail)
    inChunk = size_of(self) - inTail
    memcpy(PyBytes_AS_STRING(everything) + inTail, text_in(<PyObject *>self.chunk) + self.pos, <size_t>inChunk)
    return everything


cdef void pack(LineBuffer self) noexcept:
    """Move the tail's bytes to its start."""
    cdef Tail *tail = self.tail
    memmove(bytes_of(tail), bytes_of(tail) + tail.start, <size_t>(tail.size - tail.start))
    self.searched -= tail.start
    tail.size -= tail.start
    tail.start = 0


cdef bint extend(LineBuffer self, const char *text, Py_ssize_t size) noexcept:
    """Copy to the end of the tail, or to a new one, for which `searched` must then be set. False if memory ran out."""
    cdef Tail *tail
    cdef Py_ssize_t needed
    if self.tail != NULL and size > self.tail.capacity - self.tail.size and self.tail.start > self.tail.size // 2:
        pack(self)
    tail = self.tail
    if tail == NULL or size > tail.capacity - tail.size:
        needed = size if tail == NULL else tail.size + size
        if needed >= UNLIMITED:
            return False
        needed += (needed >> 3) + 8
        tail = <Tail *>PyMem_Realloc(tail, sizeof(Tail) + <size_t>needed)
        if tail == NULL:
            return False
        if self.tail == NULL:
            tail.start = tail.size = 0
        tail.capacity = needed
        self.tail = tail
    memcpy(bytes_of(tail) + tail.size, text, <size_t>size)
    tail.size += size
    return True


cdef int move_to_tail(LineBuffer self, Py_ssize_t end) except -1:
    """Move the chunk's bytes before `end` to the end of the tail that is there."""
    if not extend(self, text_in(<PyObject *>self.chunk) + self.pos, end - self.pos):
        raise MemoryError
    self.pos = end
    if end == size_in(<PyObject *>self.chunk):
        drop_chunk(self)
    return 0


cdef bint make_tail(LineBuffer self) noexcept:
    """Turn all of the chunk into the tail, where there is none. False if memory ran out."""
    cdef Py_ssize_t searched = self.searched - self.pos
    if not extend(self, text_in(<PyObject *>self.chunk) + self.pos, size_in(<PyObject *>self.chunk) - self.pos):
        return False
    drop_chunk(self)
    self.searched = searched
    return True


cdef int add_read(LineBuffer self, object data) except -1:
    cdef bytes read = as_bytes(data)
    self.spent = 0
    if PyBytes_GET_SIZE(read):
        append(self, read)
    return 0


cdef inline bint still_skips(LineBuffer self) noexcept:
    """Drop what is there of a line that is being skipped. Whether all that is still held belongs to it."""
    if self.skipping:
        try:
            locate(self)
        except MemoryError:
            # Everything is as it was; the search will be made again.
            pass
    return self.skipping != 0


cdef int append(LineBuffer self, bytes read) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(read)
    if self.chunk is not None:
        # The receiver stopped cutting before the end of the last read. From here on the tail takes all.
        if self.tail != NULL:
            move_to_tail(self, size_in(<PyObject *>self.chunk))
        elif self.pos == size_in(<PyObject *>self.chunk):
            drop_chunk(self)
        elif not make_tail(self):
            raise MemoryError
    if self.tail == NULL:
        self.chunk = read
        self.pos = self.searched = 0
    elif size > SMALL and self.tail.size - self.searched < size_in(<PyObject *>self.separator):
        self.chunk = read
        self.pos = 0
    elif not extend(self, PyBytes_AS_STRING(read), size):
        raise MemoryError
    return 0


cdef inline Py_ssize_t find_in_chunk(LineBuffer self, Py_ssize_t start) noexcept:
    cdef PyObject *chunk = <PyObject *>self.chunk
    return line_search(text_in(chunk), start, size_in(chunk), <PyObject *>self.separator)


cdef inline bint locate(LineBuffer self) except -1:
    """Whether there is a delimiter. If so, its offset is `searched`, and in the tail if there is one."""
    cdef Py_ssize_t at
    if self.tail != NULL or self.skipping:
        return locate_slowly(self)
    if self.chunk is None:
        return False
    at = find_in_chunk(self, self.searched)
    if at < 0:
        settle_chunk(self)
        return False
    self.searched = at
    return True


cdef bint locate_slowly(LineBuffer self) except -1:
    """The same, with a tail or while a line is being skipped, which ends where its delimiter is."""
    cdef bint found
    while self.tail != NULL or self.chunk is not None:
        found = locate_in_chunk(self) if self.tail == NULL else locate_in_tail(self)
        if not found or not self.skipping:
            return found
        self.skipping = 0
        advance(self)
    return False


cdef bint locate_in_chunk(LineBuffer self) noexcept:
    cdef Py_ssize_t at
    at = find_in_chunk(self, self.searched)
    if at < 0:
        settle_chunk(self)
        return False
    self.searched = at
    return True


cdef bint locate_in_tail(LineBuffer self) except -1:
    """The same in the tail, then in the chunk, of which the tail gets what its line needs: all if that does not end."""
    cdef Py_ssize_t length = size_in(<PyObject *>self.separator)
    cdef Py_ssize_t begin, across, at
    if find_in_tail(self):
        return True
    if self.chunk is not None and length > 1:
        begin = self.pos
        across = min(length - 1, size_in(<PyObject *>self.chunk) - begin)
        move_to_tail(self, begin + across)
        if find_in_tail(self):
            return True
    else:
        begin = self.pos
    if self.chunk is not None:
        at = find_in_chunk(self, begin)
        if at >= 0:
            move_to_tail(self, at + length)
            self.searched = self.tail.size - length
            return True
        move_to_tail(self, size_in(<PyObject *>self.chunk))
    settle_tail(self)
    return False


cdef bint find_in_tail(LineBuffer self) noexcept:
    cdef Py_ssize_t at = line_search(bytes_of(self.tail), self.searched, self.tail.size, <PyObject *>self.separator)
    if at >= 0:
        self.searched = at
    return at >= 0


cdef inline Py_ssize_t searched_to(LineBuffer self, Py_ssize_t size) noexcept:
    """Return `searched` for `size` bytes that were all searched in vain: their end may begin a delimiter."""
    cdef Py_ssize_t length = size_in(<PyObject *>self.separator)
    if length == 0:
        return size if self.skipping else self.searched
    return size - length + 1 if size - self.searched >= length else self.searched


cdef void settle_chunk(LineBuffer self) noexcept:
    """No delimiter is left in the chunk, and there is no tail: do not hold a large read for a few bytes."""
    cdef Py_ssize_t size = size_in(<PyObject *>self.chunk)
    self.searched = searched_to(self, size)
    if self.skipping:
        self.pos = self.searched
    if self.pos == size:
        drop_chunk(self)
    elif self.pos > size // 2:
        make_tail(self)


cdef void settle_tail(LineBuffer self) noexcept:
    """No delimiter is left, and all is in the tail: do not hold what was cut or skipped."""
    cdef Tail *tail = self.tail
    cdef Py_ssize_t capacity
    self.searched = searched_to(self, tail.size)
    if self.skipping:
        tail.start = self.searched
    if tail.start == tail.size:
        drop_tail(self)
    elif tail.start > tail.size // 2:
        pack(self)
        capacity = tail.size + (tail.size >> 3) + 8
        tail = <Tail *>PyMem_Realloc(tail, sizeof(Tail) + <size_t>capacity)
        if tail != NULL:
            tail.capacity = capacity
            self.tail = tail
