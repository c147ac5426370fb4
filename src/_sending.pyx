# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
"""Sending: the buffer that gathers output, lines with their delimiter, and a count of the transports that close.

There is one write for each answered line, and a compiled one costs less than half of one in Python. `send_line` puts a
line and its delimiter there itself, without an object that holds both.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

from reactor._announcing cimport is_plain
from reactor._linetricks cimport (
    LINE_SET_SIZE,
    LINE_SOURCE_HASH,
    LINE_TAG,
    PY_SSIZE_T_MAX,
    PyList_GET_ITEM,
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
    global watchableTag
    cdef unsigned int tag
    if not isinstance(transport, Disconnectable) or (<Disconnectable>transport).isClosing:
        return False
    tag = LINE_TAG(<PyObject *>transport)
    if tag == 0 or tag != watchableTag:
        kind = type(transport)
        if not is_plain(kind) or getattr(kind, "disconnecting", None) is not Disconnectable.disconnecting:
            return False
        watchableTag = LINE_TAG(<PyObject *>transport)
    return True


cdef class Disconnectable:
    """Base of transports that count when they begin to close."""

    @property
    def disconnecting(self):
        """Whether the transport is being closed."""
        return self.isClosing

    @disconnecting.setter
    def disconnecting(self, value):
        global closingCount
        self.isClosing = value
        closingCount += 1


cdef class Tally:
    """Counts what a connection carries, and adds it to `whole`. reactor.linecore has the contract."""

    def __cinit__(self, *args, **kwargs):
        self.maxPending = self.linesMark = self.bytesMark = PY_SSIZE_T_MAX

    def addRequest(self):
        self.requests += 1
        if self.whole is not None:
            self.whole.requests += 1

    def addLines(self, Py_ssize_t lines, Py_ssize_t pending=0):
        tally_lines(self, lines, pending)

    def addOverlong(self):
        self.overlong += 1
        if self.whole is not None:
            self.whole.overlong += 1

    def leave(self):
        if self.whole is not None:
            self.whole.pending -= self.pending
            self.whole = None

    def ended(self, transport, reason):
        pass

    def _passedLimit(self):
        pass

    def _passedRate(self):
        pass


cdef int tally_lines(Tally tally, Py_ssize_t lines, Py_ssize_t pending) except -1:
    """Count `lines` more, and `pending` bytes more, or fewer, that have not been delivered."""
    cdef Tally whole = tally.whole
    tally.lines += lines
    tally.pending += pending
    if whole is not None:
        whole.lines += lines
        whole.pending += pending
        if pending > 0 and whole.pending > whole.maxPending:
            whole._passedLimit()
    if tally.lines > tally.linesMark:
        tally._passedRate()
    return 0


cdef inline void tally_out(OutputBuffer self, Py_ssize_t count) noexcept:
    """Count bytes that the kernel has taken."""
    if self.countsBytes and self.tally is not None:
        self.tally.bytesOut += count
        if self.tally.whole is not None:
            self.tally.whole.bytesOut += count


cdef class OutputBuffer(Disconnectable):
    """Output that was written and not yet sent. reactor.linecore has the contract.

    Base of the transports that gather output. A lone write is kept as the object it came as, in `first`. The next write
    moves all to `gathered`.
    """

    def __cinit__(self, *args, **kwargs):
        self._mark = -1

    @property
    def unsent(self):
        """How many bytes were written that the kernel has not taken yet."""
        return unsent_in(self)

    def write(self, data):
        """write($self, data, /)\n--\n
        Send `data`, in order. Takes any bytes-like object and keeps its present content; dropped after the end.
        """
        write_bytes(self, <bytes>data if PyBytes_CheckExact(data) else content_of(data))

    def _hold(self, Py_ssize_t highWater):
        if self._mark < 0:
            self._mark = highWater

    def _holdRead(self, bytes data):
        if self._mark < 0:
            self._mark = self.highWater
        if self.tally is not None and self.countsBytes:
            self.tally.bytesIn += PyBytes_GET_SIZE(data)
            if self.tally.whole is not None:
                self.tally.whole.bytesIn += PyBytes_GET_SIZE(data)
            if self.tally.bytesIn > self.tally.bytesMark:
                self.tally._passedRate()

    def _front(self):
        if self.first is not None:
            return self.first
        if self.gathered is None:
            self._mark = -1
        return self.gathered

    def _tallySent(self, Py_ssize_t count):
        tally_out(self, count)

    def _drop(self, Py_ssize_t count):
        tally_out(self, count)
        if count < unsent_in(self):
            if count:
                gather(self)
                self.room = 0
                del self.gathered[:count]
            return False
        forget(self)
        return True

    def _discardOutput(self):
        forget(self)


cdef inline void forget(OutputBuffer self) noexcept:
    """Drop all that waits."""
    self.first = None
    self.gathered = None
    self._mark = -1


cdef int gather(OutputBuffer self) except -1:
    """Move what waits to `gathered`, if it is not there."""
    if self.gathered is None:
        self.gathered = bytearray(self.first)
        self.first = None
        self.room = 0
    return 0


cdef char *room_for(OutputBuffer self, Py_ssize_t size) except NULL:
    """Lengthen `gathered` by `size` bytes; return where these begin.

    It doubles up to 16 KiB, as a bytearray by itself grows by an eighth, which is every few lines.
    """
    cdef Py_ssize_t before, after
    gather(self)
    before = PyByteArray_GET_SIZE(self.gathered)
    after = before + size
    if after > self.room:
        self.room = 0
        PyByteArray_Resize(self.gathered, after + (after if after < 8192 else after >> 3))
        self.room = PyByteArray_GET_SIZE(self.gathered)
    LINE_SET_SIZE(<PyObject *>self.gathered, after)
    PyByteArray_AS_STRING(self.gathered)[after] = 0
    return PyByteArray_AS_STRING(self.gathered) + before


cdef inline int write_bytes(OutputBuffer self, bytes added) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(added)
    if self.first is None and self.gathered is None:
        if size:
            self.first = added
    else:
        memcpy(room_for(self, size), PyBytes_AS_STRING(added), <size_t>size)
    return passed(self, size)


cdef bint finds_gathering(object transport) except -1:
    """Whether `transport.write` is OutputBuffer's. Called when the class of `transport` is not the remembered one."""
    global gatheringTag
    kind = type(transport)
    if kind.__dictoffset__ or not is_plain(kind) or getattr(kind, "write", None) is not OutputBuffer.write:
        return False
    gatheringTag = LINE_TAG(<PyObject *>transport)
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
