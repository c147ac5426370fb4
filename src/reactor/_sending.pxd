"""The part of src/_sending.pyx that the other modules of the line core use.

The functions that each sent line passes through are inline here: without that, an answered line costs 40 instructions
more, of 1,538 (CPython 3.11).

Without the GIL
===============

A transport belongs to the thread of its reactor. No other thread may use it, but breaking that rule must not break the
process. So each part has a lock, which is compiled away with the GIL:

    part                                what makes it safe
    closingCount, the two tags,         atomic numbers: each is right alone, and orders nothing else
    Disconnectable.isClosing
    the fields of an OutputBuffer       its `mutex`, held in C alone. Another thread may be sending the bytearray that
                                        `_front` gave it. So its bytes are written before its size, which has the
                                        critical section of the bytearray, and it never moves: a copy takes its place
    the fields of a Tally               a critical section of the Tally, for each step; its `whole` has one of its own

A write is whole, or not there at all, whatever other threads write. `_passedMark` is called without the mutex, by the
thread that writes.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

from reactor._linetricks cimport (
    LINE_BEGIN,
    LINE_END,
    LINE_LOCK,
    LINE_READ,
    LINE_SET_SIZE,
    LINE_TAG,
    LINE_UNLOCK,
    line_mutex,
    line_section,
    size_in,
    text_in,
)

# How often a transport has begun to close, all of them together.
cdef unsigned int closingCount

# The class of transports that was last found to leave `write` to OutputBuffer, by its version number.
cdef unsigned int gatheringTag


cdef class Disconnectable:
    cdef unsigned int isClosing


cdef class Tally:
    cdef public long long bytesIn
    cdef public long long bytesOut
    cdef public long long lines
    cdef public long long requests
    cdef public long long overlong
    # Bytes of lines that have not been delivered, and the number of them above which `whole` calls _passedLimit().
    cdef public long long pending
    cdef public long long maxPending
    # The numbers of lines and of bytes above which _passedRate() is called.
    cdef public long long linesMark
    cdef public long long bytesMark
    cdef public Tally whole
    # The LineBuffer that counts here, as its address, and how many of its lines have been counted.
    cdef void *source
    cdef Py_ssize_t counted


cdef class OutputBuffer(Disconnectable):
    cdef Tally counter
    cdef unsigned char counts
    # Of all fields but isClosing.
    cdef line_mutex mutex
    cdef Py_ssize_t most
    cdef bytes first
    cdef bytearray gathered
    # How many bytes `gathered` has memory for, as far as is known.
    cdef Py_ssize_t room
    cdef Py_ssize_t mark


cdef bint announces_closing(object transport) except -1
cdef int tally_lines(Tally tally, Py_ssize_t lines, Py_ssize_t pending) except -1
cdef bint finds_gathering(object transport) except -1
cdef char *room_for(OutputBuffer self, Py_ssize_t size) except NULL
cdef bytes ended(bytes line, PyObject *delimiter)
cdef object send_asking(object owner, object transport, object line)
cdef object send_lines(object owner, object transport, object lines, bytes delimiter)


cdef inline bint gathers(object transport) except -1:
    """Whether `transport.write` is OutputBuffer's."""
    cdef unsigned int tag
    if not isinstance(transport, OutputBuffer):
        return False
    tag = LINE_TAG(<PyObject *>transport)
    return True if tag != 0 and tag == LINE_READ(&gatheringTag) else finds_gathering(transport)


cdef inline int raise_pending() except? -1:
    """Raise the exception that is set, if one is.

    A function that may raise is called as if it were noexcept, so that a lock can be given back behind it. A `finally`
    for that costs 4 instructions of 668, with the GIL as well.
    """
    return -1


cdef inline Py_ssize_t unsent_in(OutputBuffer self) noexcept:
    """How many bytes wait. For this and the others that say so, the mutex is held."""
    if self.first is not None:
        return PyBytes_GET_SIZE(self.first)
    return 0 if self.gathered is None else PyByteArray_GET_SIZE(self.gathered)


cdef inline void grown(OutputBuffer self, Py_ssize_t size) noexcept:
    """Count `size` bytes more in `gathered`, which have been written. The mutex is held."""
    cdef Py_ssize_t after = PyByteArray_GET_SIZE(self.gathered) + size
    cdef line_section section
    PyByteArray_AS_STRING(self.gathered)[after] = 0
    LINE_BEGIN(&section, self.gathered)
    LINE_SET_SIZE(<PyObject *>self.gathered, after)
    LINE_END(&section)


cdef inline char *copied(char *to, PyObject *text) noexcept:
    """Copy bytes; return the place behind them. Most delimiters have two bytes, which needs no call of memcpy."""
    if size_in(text) == 2:
        memcpy(to, text_in(text), 2)
        return to + 2
    memcpy(to, text_in(text), <size_t>size_in(text))
    return to + size_in(text)


cdef inline int write_line(OutputBuffer self, bytes line, PyObject *delimiter) except -1:
    """Write a line and the delimiter; unless it is the first, without an object that holds both."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(line) + size_in(delimiter)
    cdef int passed
    LINE_LOCK(&self.mutex)
    passed = (<int (*)(OutputBuffer, bytes, PyObject *, Py_ssize_t) noexcept>add_line)(self, line, delimiter, size)
    LINE_UNLOCK(&self.mutex)
    if passed < 0:
        raise_pending()
    if passed > 0:
        self._passedMark(size)
    return 0


cdef inline int add_line(OutputBuffer self, bytes line, PyObject *delimiter, Py_ssize_t size) except -1:
    """Add a line and the delimiter; return whether more than `mark` bytes wait then. The mutex is held."""
    if self.first is None and self.gathered is None:
        self.first = ended(line, delimiter)
    else:
        copied(copied(room_for(self, size), <PyObject *>line), delimiter)
        grown(self, size)
    return unsent_in(self) > self.mark


cdef inline object send_line(object owner, object transport, object line, bytes delimiter):
    """transport.write(line + owner.delimiter), faster. `delimiter` is the owner's if it is known, else None."""
    if delimiter is None or not PyBytes_CheckExact(line):
        return send_asking(owner, transport, line)
    if not gathers(transport):
        return transport.write(ended(<bytes>line, <PyObject *>delimiter))
    write_line(<OutputBuffer>transport, <bytes>line, <PyObject *>delimiter)
    return None
