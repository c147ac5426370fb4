"""The part of src/_sending.pyx that the other modules of the line core use.

The functions that each sent line passes through are inline here: without that, an answered line costs 40 instructions
more, of 1,538 (CPython 3.11).
"""

from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

from reactor._linetricks cimport LINE_TAG, size_in, text_in

# How often a transport has begun to close, all of them together.
cdef unsigned int closingCount

# The class of transports that was last found to leave `write` to OutputBuffer, by its version number.
cdef unsigned int gatheringTag


cdef class Disconnectable:
    cdef bint isClosing


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
    cdef public Tally tally
    cdef public bint countsBytes
    cdef public Py_ssize_t highWater
    cdef bytes first
    cdef bytearray gathered
    # How many bytes `gathered` has memory for, as far as is known.
    cdef Py_ssize_t room
    cdef public Py_ssize_t _mark


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
    return True if tag != 0 and tag == gatheringTag else finds_gathering(transport)


cdef inline Py_ssize_t unsent_in(OutputBuffer self) noexcept:
    if self.first is not None:
        return PyBytes_GET_SIZE(self.first)
    return 0 if self.gathered is None else PyByteArray_GET_SIZE(self.gathered)


cdef inline int passed(OutputBuffer self, Py_ssize_t added) except -1:
    """`added` bytes were written: call _passedMark if more than `_mark` bytes wait."""
    if unsent_in(self) > self._mark:
        self._passedMark(added)
    return 0


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
    if self.first is None and self.gathered is None:
        self.first = ended(line, delimiter)
    else:
        copied(copied(room_for(self, size), <PyObject *>line), delimiter)
    return passed(self, size)


cdef inline object send_line(object owner, object transport, object line, bytes delimiter):
    """transport.write(line + owner.delimiter), faster. `delimiter` is the owner's if it is known, else None."""
    if delimiter is None or not PyBytes_CheckExact(line):
        return send_asking(owner, transport, line)
    if not gathers(transport):
        return transport.write(ended(<bytes>line, <PyObject *>delimiter))
    write_line(<OutputBuffer>transport, <bytes>line, <PyObject *>delimiter)
    return None
