# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: freethreading_compatible=True
# No GIL is needed: "Without the GIL" in _sending.pxd says which lock guards each part.
"""Sending: the buffer that gathers output, lines with their delimiter, and a count of the transports that close.

There is one write for each answered line, and a compiled one costs less than half of one in Python. `send_line` puts a
line and its delimiter there itself, without an object that holds both.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

from reactor._announcing cimport is_plain
from reactor._linetricks cimport (
    LINE_BEGIN,
    LINE_COUNT,
    LINE_END,
    LINE_HAS_GIL,
    LINE_LOCK,
    LINE_READ,
    LINE_SET_SIZE,
    LINE_SOURCE_HASH,
    LINE_TAG,
    LINE_UNLOCK,
    LINE_WRITE,
    PY_SSIZE_T_MAX,
    PyList_GET_ITEM,
    line_section,
    resize_array,
    size_in,
    text_in,
)

from reactor._arguments import checkDelimiter

SOURCE_HASH = LINE_SOURCE_HASH.decode("ascii")

cdef unsigned int closingCount = 0

# The version number of the class of transports that was last found to leave `disconnecting` to Disconnectable.
cdef unsigned int watchableTag = 0

# The same of the class that was last found to leave `write` to OutputBuffer.
cdef unsigned int gatheringTag = 0


cdef bint announces_closing(object transport) except -1:
    """Whether `transport` counts in `closingCount` when it begins to close, and has not begun yet."""
    cdef unsigned int tag
    if not isinstance(transport, Disconnectable) or LINE_READ(&(<Disconnectable>transport).isClosing):
        return False
    tag = LINE_TAG(<PyObject *>transport)
    if tag == 0 or tag != LINE_READ(&watchableTag):
        kind = type(transport)
        tag = number_of(transport, "disconnecting")
        if not is_plain(kind) or getattr(kind, "disconnecting", None) is not Disconnectable.disconnecting:
            return False
        LINE_WRITE(&watchableTag, tag)
    return True


cdef unsigned int number_of(object transport, str name) except? 0:
    """The version number that the class of `transport` had before the caller looked at it.

    If another thread changes the class meanwhile, this number names a state that no class has any more.
    """
    getattr(type(transport), name, None)  # looking an attribute up gives the class its number
    return LINE_TAG(<PyObject *>transport)


cdef class Disconnectable:
    """Base of transports that count when they begin to close."""

    @property
    def disconnecting(self):
        """Whether the transport is being closed."""
        return LINE_READ(&self.isClosing) != 0

    @disconnecting.setter
    def disconnecting(self, value):
        LINE_WRITE(&self.isClosing, 1 if value else 0)
        LINE_COUNT(&closingCount)


cdef class Tally:
    """Counts what a connection carries, and adds it to `whole`. reactor.linecore has the contract."""

    def __cinit__(self, *args, **kwargs):
        self.maxPending = self.linesMark = self.bytesMark = PY_SSIZE_T_MAX

    def addRequest(self):
        cdef Tally whole
        with cython.critical_section(self):
            self.requests += 1
            whole = self.whole
        if whole is not None:
            with cython.critical_section(whole):
                whole.requests += 1

    def addLines(self, Py_ssize_t lines, Py_ssize_t pending=0):
        tally_lines(self, lines, pending)

    def addOverlong(self):
        cdef Tally whole
        with cython.critical_section(self):
            self.overlong += 1
            whole = self.whole
        if whole is not None:
            with cython.critical_section(whole):
                whole.overlong += 1

    def leave(self):
        cdef Tally whole
        cdef long long pending
        with cython.critical_section(self):
            whole, self.whole = self.whole, None
            pending = self.pending
        if whole is not None:
            with cython.critical_section(whole):
                whole.pending -= pending

    def ended(self, transport, reason):
        pass

    def _passedLimit(self):
        pass

    def _passedRate(self):
        pass


cdef int tally_lines(Tally tally, Py_ssize_t lines, Py_ssize_t pending) except -1:
    """Count `lines` more, and `pending` bytes more, or fewer, that have not been delivered."""
    cdef Tally whole
    cdef line_section section
    cdef bint isPast
    LINE_BEGIN(&section, tally)
    whole = tally.whole
    tally.lines += lines
    tally.pending += pending
    isPast = tally.lines > tally.linesMark
    LINE_END(&section)
    if whole is not None and adds_up(whole, lines, pending):
        whole._passedLimit()
    if isPast:
        tally._passedRate()
    return 0


cdef inline bint adds_up(Tally whole, Py_ssize_t lines, Py_ssize_t pending) noexcept:
    """Count for `whole`, too; return whether too much is pending there now."""
    cdef line_section section
    cdef bint isPast
    LINE_BEGIN(&section, whole)
    whole.lines += lines
    whole.pending += pending
    isPast = pending > 0 and whole.pending > whole.maxPending
    LINE_END(&section)
    return isPast


cdef inline Tally tally_of(OutputBuffer self):
    """The tally that counts the bytes of `self`, or None."""
    cdef Tally tally = None
    LINE_LOCK(&self.mutex)
    if self.counts:
        tally = self.counter
    LINE_UNLOCK(&self.mutex)
    return tally


cdef inline void tally_out(OutputBuffer self, Py_ssize_t count) noexcept:
    """Count bytes that the kernel has taken."""
    cdef Tally tally = tally_of(self)
    cdef Tally whole
    cdef line_section section
    if tally is None:
        return
    LINE_BEGIN(&section, tally)
    tally.bytesOut += count
    whole = tally.whole
    LINE_END(&section)
    if whole is not None:
        LINE_BEGIN(&section, whole)
        whole.bytesOut += count
        LINE_END(&section)


cdef class OutputBuffer(Disconnectable):
    """Output that was written and not yet sent. reactor.linecore has the contract.

    Base of the transports that gather output. A lone write is kept as the object it came as, in `first`. The next write
    moves all to `gathered`.
    """

    def __cinit__(self, *args, **kwargs):
        self.mark = -1

    # Attributes as `cdef public` makes them, but for the lock.

    @property
    def tally(self):
        cdef Tally tally
        LINE_LOCK(&self.mutex)
        tally = self.counter
        LINE_UNLOCK(&self.mutex)
        return tally

    @tally.setter
    def tally(self, Tally value):
        cdef Tally before  # its end may call code in Python, which must not find the mutex locked
        LINE_LOCK(&self.mutex)
        before = self.counter
        self.counter = value
        LINE_UNLOCK(&self.mutex)
        before = None

    @property
    def countsBytes(self):
        LINE_LOCK(&self.mutex)
        counts = self.counts != 0
        LINE_UNLOCK(&self.mutex)
        return counts

    @countsBytes.setter
    def countsBytes(self, bint value):
        LINE_LOCK(&self.mutex)
        self.counts = value
        LINE_UNLOCK(&self.mutex)

    @property
    def highWater(self):
        cdef Py_ssize_t most
        LINE_LOCK(&self.mutex)
        most = self.most
        LINE_UNLOCK(&self.mutex)
        return most

    @highWater.setter
    def highWater(self, Py_ssize_t value):
        LINE_LOCK(&self.mutex)
        self.most = value
        LINE_UNLOCK(&self.mutex)

    @property
    def _mark(self):
        cdef Py_ssize_t mark
        LINE_LOCK(&self.mutex)
        mark = self.mark
        LINE_UNLOCK(&self.mutex)
        return mark

    @_mark.setter
    def _mark(self, Py_ssize_t value):
        LINE_LOCK(&self.mutex)
        self.mark = value
        LINE_UNLOCK(&self.mutex)

    @property
    def unsent(self):
        """How many bytes were written that the kernel has not taken yet."""
        cdef Py_ssize_t size
        LINE_LOCK(&self.mutex)
        size = unsent_in(self)
        LINE_UNLOCK(&self.mutex)
        return size

    def write(self, data):
        """write($self, data, /)\n--\n
        Send `data`, in order. Takes any bytes-like object and keeps its present content; dropped after the end.
        """
        write_bytes(self, <bytes>data if PyBytes_CheckExact(data) else content_of(data))

    def _hold(self, Py_ssize_t highWater):
        LINE_LOCK(&self.mutex)
        if self.mark < 0:
            self.mark = highWater
        LINE_UNLOCK(&self.mutex)

    def _holdRead(self, bytes data):
        cdef Tally tally
        LINE_LOCK(&self.mutex)
        if self.mark < 0:
            self.mark = self.most
        tally = self.counter if self.counts else None
        LINE_UNLOCK(&self.mutex)
        if tally is not None and tally_in(tally, PyBytes_GET_SIZE(data)):
            tally._passedRate()

    def _front(self):
        LINE_LOCK(&self.mutex)
        waiting = self.gathered if self.first is None else self.first
        if waiting is None:
            self.mark = -1
        LINE_UNLOCK(&self.mutex)
        return waiting

    def _tallySent(self, Py_ssize_t count):
        tally_out(self, count)

    def _drop(self, Py_ssize_t count):
        cdef int isOver
        tally_out(self, count)
        LINE_LOCK(&self.mutex)
        isOver = (<int (*)(OutputBuffer, Py_ssize_t) noexcept>drop_front)(self, count)
        LINE_UNLOCK(&self.mutex)
        if isOver < 0:
            raise_pending()
        return isOver != 0

    def _discardOutput(self):
        LINE_LOCK(&self.mutex)
        forget(self)
        LINE_UNLOCK(&self.mutex)


cdef inline bint tally_in(Tally tally, Py_ssize_t count) noexcept:
    """Count the bytes of a read; return whether they are more than a rate allows."""
    cdef Tally whole
    cdef line_section section
    cdef bint isPast
    LINE_BEGIN(&section, tally)
    tally.bytesIn += count
    isPast = tally.bytesIn > tally.bytesMark
    whole = tally.whole
    LINE_END(&section)
    if whole is not None:
        LINE_BEGIN(&section, whole)
        whole.bytesIn += count
        LINE_END(&section)
    return isPast


cdef inline void forget(OutputBuffer self) noexcept:
    """Drop all that waits. The mutex is held."""
    self.first = None
    self.gathered = None
    self.mark = -1


cdef int gather(OutputBuffer self) except -1:
    """Move what waits to `gathered`, if it is not there. The mutex is held."""
    if self.gathered is None:
        self.gathered = bytearray(self.first)
        self.first = None
        self.room = 0
    return 0


cdef inline int drop_front(OutputBuffer self, Py_ssize_t count) except -1:
    """Drop the first `count` bytes; return whether nothing is left. The mutex is held."""
    if count >= unsent_in(self):
        forget(self)
        return 1
    if count:
        gather(self)
        self.room = 0
        cut_front(self, count)
    return 0


cdef int cut_front(OutputBuffer self, Py_ssize_t count) except -1:
    """Drop the first `count` bytes of `gathered`. The mutex is held."""
    try:
        del self.gathered[:count]
    except BufferError:  # other code still has the bytes in hand
        self.gathered = self.gathered[count:]
    return 0


cdef char *room_for(OutputBuffer self, Py_ssize_t size) except NULL:
    """Return where `size` bytes more begin, which the caller writes, and then counts with `grown`. The mutex is held.

    The memory doubles up to 16 KiB, as a bytearray by itself grows by an eighth, which is every few lines.
    """
    cdef Py_ssize_t before, after
    gather(self)
    before = PyByteArray_GET_SIZE(self.gathered)
    after = before + size
    if after > self.room:
        self.room = 0
        make_room(self, before, after + (after if after < 8192 else after >> 3))
    return PyByteArray_AS_STRING(self.gathered) + before


cdef int make_room(OutputBuffer self, Py_ssize_t size, Py_ssize_t room) except -1:
    """Give `gathered`, of `size` bytes, memory for `room`.

    Without the GIL a copy takes its place: while it is resized, another thread could see, and send, what has not been
    written. The same if it cannot be resized, because other code has the bytes in hand.
    """
    if LINE_HAS_GIL:
        if resize_array(self.gathered, room) >= 0:
            LINE_SET_SIZE(<PyObject *>self.gathered, size)
            self.room = room
            return 0
        if not PyErr_ExceptionMatches(BufferError):
            return -1
        PyErr_Clear()
    gathered = PyByteArray_FromStringAndSize(NULL, room)
    memcpy(PyByteArray_AS_STRING(gathered), PyByteArray_AS_STRING(self.gathered), <size_t>size)
    LINE_SET_SIZE(<PyObject *>gathered, size)
    self.gathered = gathered
    self.room = room
    return 0


cdef inline int write_bytes(OutputBuffer self, bytes added) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(added)
    cdef int passed
    LINE_LOCK(&self.mutex)
    passed = (<int (*)(OutputBuffer, bytes, Py_ssize_t) noexcept>add_bytes)(self, added, size)
    LINE_UNLOCK(&self.mutex)
    if passed < 0:
        raise_pending()
    if passed > 0:
        self._passedMark(size)
    return 0


cdef inline int add_bytes(OutputBuffer self, bytes added, Py_ssize_t size) except -1:
    """Add bytes; return whether more than `mark` bytes wait then. The mutex is held."""
    if self.first is not None or self.gathered is not None:
        memcpy(room_for(self, size), PyBytes_AS_STRING(added), <size_t>size)
        grown(self, size)
    elif size:
        self.first = added
    return unsent_in(self) > self.mark


cdef bint finds_gathering(object transport) except -1:
    """Whether `transport.write` is OutputBuffer's. Called when the class of `transport` is not the remembered one."""
    cdef unsigned int tag
    kind = type(transport)
    tag = number_of(transport, "write")
    if kind.__dictoffset__ or not is_plain(kind) or getattr(kind, "write", None) is not OutputBuffer.write:
        return False
    LINE_WRITE(&gatheringTag, tag)
    return True


cdef object send_asking(object owner, object transport, object line):
    """transport.write(line + owner.delimiter). TypeError, with a text that helps, for what cannot be sent."""
    write = transport.write
    delimiter = owner.delimiter
    try:
        whole = line + delimiter
    except TypeError:
        check_line(line)
        checkDelimiter(delimiter)
        raise
    return write(whole)


cdef object send_lines(object owner, object transport, object lines, bytes delimiter):
    """Do the same as send_line for each of `lines`, in one write; no write if there are no lines."""
    cdef Py_ssize_t size = -1 if delimiter is None else size_joined(lines, <PyObject *>delimiter)
    if size < 0:
        return send_all_asking(owner, transport, lines)
    if size == 0:
        return None
    whole = joined(<list>lines, <PyObject *>delimiter, size)
    if not gathers(transport):
        return transport.write(whole)
    write_bytes(<OutputBuffer>transport, whole)
    return None


cdef object send_all_asking(object owner, object transport, object lines):
    delimiter = owner.delimiter
    pieces = [*lines, b""]
    try:
        whole = delimiter.join(pieces)
    except (TypeError, AttributeError):
        checkDelimiter(delimiter)
        for line in pieces:
            check_line(line)
        raise
    return transport.write(whole) if whole else None


cdef bytes ended(bytes line, PyObject *delimiter):
    """The line with the delimiter after it."""
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(line) + size_in(delimiter))
    copied(copied(PyBytes_AS_STRING(whole), <PyObject *>line), delimiter)
    return whole


cdef Py_ssize_t size_joined(object lines, PyObject *delimiter) noexcept:
    """How long the lines are, each with the delimiter after it; -1 unless `lines` is a list of exact bytes."""
    cdef Py_ssize_t index, size
    if not PyList_CheckExact(lines):
        return -1
    size = PyList_GET_SIZE(lines) * size_in(delimiter)
    for index in range(PyList_GET_SIZE(lines)):
        if not PyBytes_CheckExact(<object>PyList_GET_ITEM(lines, index)):
            return -1
        size += size_in(PyList_GET_ITEM(lines, index))
    return size


cdef bytes joined(list lines, PyObject *delimiter, Py_ssize_t size):
    """The lines, each with the delimiter after it: `size` bytes."""
    cdef Py_ssize_t index
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(whole)
    for index in range(PyList_GET_SIZE(lines)):
        to = copied(copied(to, PyList_GET_ITEM(lines, index)), delimiter)
    return whole


cdef int check_line(object line) except -1:
    if isinstance(line, (str, int)):
        raise TypeError(f"a line is sent as bytes, not {type(line).__name__}: encode it")
    try:
        memoryview(line)
    except TypeError:
        raise TypeError(f"a line is sent as bytes, not {line!r}") from None
    return 0


cdef bytes content_of(object data):
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"Data must be bytes-like, not {type(data).__name__}") from None
