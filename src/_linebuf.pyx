# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
"""The compiled line core. reactor.linecore says what a LineBuffer promises; here is how it keeps it.

Where the bytes are. They are, in order, those of the tail from `start` to `size`, then those of the chunk from `pos`
on; either may be missing. The chunk is a read that was adopted as it came. When no complete line is left, its rest
becomes the tail, memory of our own that grows by an eighth, so a line that trickles in costs linear time and a client
that sits on half a line holds little more than that half. A read that follows a tail is adopted beside it, and only the
piece that completes the tail's line is copied over; what arrives while nothing is cut is all copied to the tail.

`searched` is an offset, in the tail if there is one, else in the chunk: no delimiter begins before it. It stays at a
delimiter that was found until the line is cut, and is set back only when the delimiter changes. The search looks for
the delimiter's last byte, with memchr, and compares the rest; as all matches are of one length, the first is leftmost.

Nothing is lost or doubled if memory runs out: a line is made before the buffer moves past it, and bytes are copied to
where they go before they are dropped where they were. Where a copy only saves memory, its failure is ignored.

How most lines cost no object. What a receiver's loop was given last is remembered here, too. If nobody else has it when
the next line is asked for, and that is about as long, it becomes that one: CPython's tuples from zip() do the same. It
is a third of what a short line costs. The count of references tells, and only those loops may ask, as it counts the
variable that they keep the line in.

How a setting is known while lines are cut. Pointers into the bytes are never held across a Python call, and nothing is
called here but the allocator, so a change can only happen between two steps of the iteration. There are three kinds:
- The class, or a base of it, gets another attribute, or the owner another class. CPython gives each state of each class
  a number of its own (tp_version_tag, 0 if there is none), so each step compares one number.
- The instance gets an attribute. The class attributes of the settings are made to announce that: a descriptor takes
  the place of each. Reading it gives the instance's own attribute or else the very object from the class body, and
  setting it stores the value in the instance and marks the buffer stale, which ends the iteration. `announces` puts
  them in place when a class has its first data, in LineReceiver and its subclasses only: a value from a mixin stays as
  it is, and makes the class one that is asked before each line, as do properties and overrides of attribute access. A
  value written straight into the instance's __dict__ announces nothing.
- A transport begins to close. Of those that are Disconnectable it is counted how often one did (`closings`), so each
  step compares one number; another transport is asked after each line, by the caller.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject, PyObject_GenericGetAttr, PyObject_GenericSetAttr
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memcmp, memcpy, memmove

from reactor._arguments import checkDelimiter

cdef extern from *:
    """
    #define LINEBUF_SET_SIZE(object, size) Py_SET_SIZE((PyVarObject *)(object), size)
    #define LINEBUF_TAG(object) (Py_TYPE(object)->tp_version_tag)
    #define LINEBUF_TAG_OF(type) (((PyTypeObject *)(type))->tp_version_tag)

    /* A reference that changes hands. To take one more and drop it again costs, from CPython 3.12 on, as much as half a
       short line: the one writes 32 bits of the count, the other reads 64. */
    #define LINEBUF_OWNED(object) (object)

    static inline void linebuf_end(PyObject *line, Py_ssize_t size) {
        Py_SET_SIZE((PyVarObject *)line, size);
        PyBytes_AS_STRING(line)[size] = 0;
    }

    /* How many bytes a line of `size` gets memory for: allocators round up to 16. */
    static inline Py_ssize_t linebuf_room(Py_ssize_t size) {
        const Py_ssize_t header = offsetof(PyBytesObject, ob_sval) + 1;
        return ((header + size + 15) & ~(Py_ssize_t)15) - header;
    }

    static inline PyObject *linebuf_line(const char *text, Py_ssize_t size) {
        PyObject *line;
        if (size < 2)
            return PyBytes_FromStringAndSize(text, size);
        line = PyBytes_FromStringAndSize(NULL, linebuf_room(size));
        if (line != NULL) {
            memcpy(PyBytes_AS_STRING(line), text, (size_t)size);
            linebuf_end(line, size);
        }
        return line;
    }

    #ifdef Py_GIL_DISABLED
    #define linebuf_isReusable(line) 0
    #define linebuf_take(object) Py_INCREF(object)
    #define linebuf_reuse(line, size) 0
    #else

    /* Lines of no byte and of one are objects that everybody shares, and immortal from CPython 3.12 on. */
    #define linebuf_isReusable(line) (Py_SIZE(line) > 1)

    /* One more reference, in the width in which one is given back: see above. Not for immortal objects. */
    #ifdef Py_REF_DEBUG
    #define linebuf_take(object) Py_INCREF(object)
    #else
    #define linebuf_take(object) ((object)->ob_refcnt++)
    #endif

    /* Have `line`, of linebuf_line, hold `size` bytes, with a reference for the caller, if a new object for them would
       be as large, and nobody has it but us and the variable of the loop that asks for the next one. */
    static inline int linebuf_reuse(PyObject *line, Py_ssize_t size) {
        if (line->ob_refcnt != 2 || size < 2 || linebuf_room(Py_SIZE(line)) != linebuf_room(size))
            return 0;
        linebuf_end(line, size);
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)line)->ob_shash = -1;
        _Py_COMP_DIAG_POP
        linebuf_take(line);
        return 1;
    }
    #endif

    /* An empty list with room for some items. */
    static inline PyObject *linebuf_list(Py_ssize_t room) {
    #ifndef Py_GIL_DISABLED
        PyObject *list = PyList_New(room);
        if (list != NULL)
            Py_SET_SIZE((PyVarObject *)list, 0);
        return list;
    #else
        return PyList_New(0);
    #endif
    }

    static inline int linebuf_push(PyObject *list, PyObject *item) {
        int failed;
    #ifndef Py_GIL_DISABLED
        const Py_ssize_t size = PyList_GET_SIZE(list);
        if (size < ((PyListObject *)list)->allocated) {
            PyList_SET_ITEM(list, size, item);
            Py_SET_SIZE((PyVarObject *)list, size + 1);
            return 0;
        }
    #endif
        failed = PyList_Append(list, item);
        Py_DECREF(item);
        return failed;
    }

    /* memchr, which looks at the first bytes itself: most lines are short, and a call costs as much as 32 bytes do. */
    #if defined(__SSE2__)
    #include <emmintrin.h>
    static inline const char *linebuf_find(const char *at, const char *end, char wanted) {
        const __m128i pattern = _mm_set1_epi8(wanted);
        int round;
        for (round = 0; round < 2 && end - at >= 16; round++, at += 16) {
            const __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)at), pattern);
            const unsigned int mask = (unsigned int)_mm_movemask_epi8(equal);
            if (mask)
                return at + __builtin_ctz(mask);
        }
        return memchr(at, wanted, (size_t)(end - at));
    }
    #else
    static inline const char *linebuf_find(const char *at, const char *end, char wanted) {
        return memchr(at, wanted, (size_t)(end - at));
    }
    #endif
    """
    const char *LINEBUF_SOURCE_HASH
    const Py_ssize_t PY_SSIZE_T_MAX
    const char *linebuf_find(const char *at, const char *end, char wanted) noexcept
    object LINEBUF_OWNED(PyObject *)
    char *text_in "PyBytes_AS_STRING"(PyObject *)
    Py_ssize_t size_in "PyBytes_GET_SIZE"(PyObject *)
    PyObject *linebuf_line(const char *, Py_ssize_t) except NULL
    bint linebuf_isReusable(PyObject *) noexcept
    void linebuf_take(PyObject *) noexcept
    bint linebuf_reuse(PyObject *, Py_ssize_t) noexcept
    list linebuf_list(Py_ssize_t)
    int linebuf_push(list, PyObject *) except -1
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    void LINEBUF_SET_SIZE(PyObject *, Py_ssize_t)
    unsigned int LINEBUF_TAG(PyObject *)
    unsigned int LINEBUF_TAG_OF(PyObject *)

SOURCE_HASH = LINEBUF_SOURCE_HASH.decode("ascii")

cdef enum:
    KEPT = 0
    FAST = 1
    STALE = 2
    EXACT = 3
    WATCHED = 4
    BATCHED = 5

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


cdef inline Py_ssize_t find(const char *text, Py_ssize_t start, Py_ssize_t size, PyObject *delimiter) noexcept:
    """The offset of the first delimiter that begins at or after `start` and ends by `size`, or -1."""
    cdef const char *wanted = text_in(delimiter)
    cdef Py_ssize_t before = size_in(delimiter) - 1
    cdef const char *end = text + size
    cdef const char *at
    if before < 0 or size - start <= before:
        return -1
    at = text + start + before
    while at < end:
        at = linebuf_find(at, end, wanted[before])
        if at == NULL:
            return -1
        if before == 0 or ((at - 1)[0] == wanted[before - 1] and is_same(at - before, wanted, before - 1)):
            return at - before - text
        at += 1
    return -1


@cython.final
cdef class LineBuffer:
    """Bytes go in as they were read, lines come out. reactor.linecore has the contract."""

    cdef bytes chunk
    cdef bytes separator
    cdef Tail *tail
    cdef Py_ssize_t pos
    cdef Py_ssize_t searched
    cdef Py_ssize_t limit
    cdef readonly Py_ssize_t lineCount
    # Who is told of the lines, while busy. A reference of our own keeps it alive: its class is read before each line.
    cdef PyObject *owner
    # The class for which FAST or EXACT was found out.
    cdef unsigned int tag
    # `closings` when this read came.
    cdef unsigned int closed
    cdef unsigned char state
    cdef unsigned char isBusy
    cdef unsigned char isWaiting
    cdef unsigned char strips
    cdef unsigned char skipping
    cdef unsigned char spent
    cdef unsigned char watches
    cdef unsigned char batches

    def __cinit__(self, delimiter=b"\r\n", maxLength=16384, stripCR=False):
        self.state = STALE
        self.separator = b""
        self.delimiter = delimiter
        self.maxLength = maxLength
        self.stripCR = stripCR

    def __dealloc__(self):
        PyMem_Free(self.tail)
        Py_XDECREF(self.owner)
        keep(<PyObject *>self, NULL)

    def __len__(self):
        return 0 if still_skips(self) else size_of(self)

    @property
    def holds(self):
        return size_of(self) > 0

    @property
    def hasFollowed(self):
        """Whether it has known, or refused, the settings of an owner."""
        return self.tag != 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.owner != NULL and (
            self.state != FAST or LINEBUF_TAG(self.owner) != self.tag or (self.watches and self.closed != closings)
        ):
            raise StopIteration
        if not locate(self):
            self.spent = not is_too_long(self, size_of(self))
            raise StopIteration
        cdef Py_ssize_t length = length_of(self)
        if length > self.limit:
            raise StopIteration
        cdef PyObject *line
        if self.owner == NULL:
            line = new_bytes(front_of(self), length)
        else:
            line = next_line(<PyObject *>self, front_of(self), length)
        advance(self)
        return LINEBUF_OWNED(line)

    @property
    def delimiter(self):
        return self.separator

    @delimiter.setter
    def delimiter(self, value):
        if value is self.separator or (isinstance(value, bytes) and value == self.separator):
            return
        if not PyBytes_CheckExact(value):
            checkDelimiter(value)
        self.separator = as_bytes(value)
        self.searched = self.pos if self.tail == NULL else self.tail.start

    @property
    def maxLength(self):
        return self.limit

    @maxLength.setter
    def maxLength(self, value):
        cdef int overflow = 0
        cdef long long limit = PyLong_AsLongLongAndOverflow(value, &overflow) if isinstance(value, int) else 0
        if overflow or not isinstance(value, int):
            limit = UNLIMITED if value >= UNLIMITED else -UNLIMITED if value <= -UNLIMITED else int(value)
        self.limit = max(-UNLIMITED, min(UNLIMITED, limit))

    @property
    def stripCR(self):
        return self.strips != 0

    @stripCR.setter
    def stripCR(self, value):
        self.strips = 1 if value else 0

    @property
    def waiting(self):
        return self.isWaiting != 0

    @waiting.setter
    def waiting(self, value):
        self.isWaiting = 1 if value else 0

    @property
    def busy(self):
        return self.isBusy != 0

    @busy.setter
    def busy(self, value):
        cdef PyObject *owner = self.owner
        self.isBusy = 1 if value else 0
        if not self.isBusy:
            self.owner = NULL
            if self.chunk is not None and self.pos == size_in(<PyObject *>self.chunk):
                drop_chunk(self)
            keep(<PyObject *>self, NULL)
            Py_XDECREF(owner)

    @property
    def exceeded(self):
        if locate(self):
            return length_of(self) > self.limit
        return is_too_long(self, size_of(self))

    @property
    def skipping(self):
        return still_skips(self)

    def feed(self, data):
        add_read(self, data)
        still_skips(self)

    def cut(self, delimiter):
        if delimiter is not self.separator:
            self.delimiter = delimiter
        return cut_line(self) if locate(self) else None

    def lines(self):
        """The batch. If memory runs out it is what was cut so far; only if that is nothing, MemoryError is raised."""
        cdef list lines = None
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
                    lines = linebuf_list(min(size_of(self) // each + 1, LIST_LIMIT))
                line = new_bytes(front_of(self), length)
                linebuf_push(lines, line)
                advance(self)
        except MemoryError:
            if not lines:
                raise
        return [] if lines is None else lines

    def peek(self):
        return b"" if still_skips(self) else contents_of(self)

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
        return everything

    def clear(self):
        drop_all(self)

    def skip(self):
        cdef bytes dropped
        if locate(self):
            return cut_line(self)
        if self.skipping:
            return b""
        dropped = contents_of(self)
        if size_in(<PyObject *>self.separator):
            self.skipping = 1
            locate(self)
        else:
            drop_all(self)
        return dropped

    def isDone(self):
        if not self.spent or self.state != FAST or self.owner == NULL or LINEBUF_TAG(self.owner) != self.tag:
            return False
        return self.closed == closings if self.watches else not self.batches

    def receive(self, owner, data, transport):
        add_read(self, data)
        if self.isBusy or self.isWaiting:
            return KEPT
        if self.skipping and not owner.paused:
            self.delimiter = owner.delimiter
            still_skips(self)
        self.watches = tells_of_closing(transport)
        self.closed = closings
        self.isBusy = 1
        Py_INCREF(owner)
        self.owner = <PyObject *>owner
        if LINEBUF_TAG(self.owner) != self.tag:
            self.state = STALE
        return how_to_go_on(self)

    def follow(self, owner, delimiter, maxLength, stripCR, batches):
        """Know the settings from now on, those of `owner`, whose class announces. EXACT if they are none to go by."""
        # A number of somebody else's may compare in a way of its own.
        if not (isinstance(delimiter, bytes) and type(maxLength) in (int, bool) and delimiter):
            self.refuse(owner)
            return EXACT
        self.delimiter = delimiter
        self.maxLength = maxLength
        self.stripCR = stripCR
        self.tag = LINEBUF_TAG(<PyObject *>owner)
        if not self.tag:
            self.state = STALE
            return EXACT
        self.state = FAST
        self.batches = 1 if batches else 0
        return how_to_go_on(self)

    def send(self, owner, transport, line):
        """transport.write(line + owner.delimiter), sooner: the delimiter may be known here, and write be ours."""
        if not knows(self, owner) or not PyBytes_CheckExact(line):
            write = transport.write
            delimiter = owner.delimiter
            try:
                whole = line + delimiter
            except TypeError:
                check_line(line)
                checkDelimiter(delimiter)
                raise
            return write(whole)
        if not gathers(transport):
            return transport.write(ended(self, <bytes>line))
        write_line(self, <OutputBuffer>transport, <bytes>line)

    def sendAll(self, owner, transport, lines):
        """The same for a list of lines, in one write; none if there are no lines."""
        cdef Py_ssize_t size = size_joined(self, lines) if knows(self, owner) else -1
        if size < 0:
            delimiter = owner.delimiter
            lines = [*lines, b""]
            try:
                whole = delimiter.join(lines)
            except (TypeError, AttributeError):
                checkDelimiter(delimiter)
                for line in lines:
                    check_line(line)
                raise
        elif size == 0:
            return None
        else:
            whole = joined(self, <list>lines, size)
            if gathers(transport):
                write_bytes(<OutputBuffer>transport, <bytes>whole)
                return None
        return transport.write(whole) if whole else None

    def split(self, data, delimiter):
        """Feed `data`, and give up all complete lines, however long."""
        cdef bytes whole
        cdef Py_ssize_t end
        cdef Lines lines = Lines.__new__(Lines)
        self.delimiter = delimiter
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
        return lines

    def refuse(self, owner):
        """Answer EXACT for as long as the class of `owner` is what it is, and nothing is announced."""
        self.tag = LINEBUF_TAG(<PyObject *>owner)
        self.state = <unsigned char>(EXACT if self.tag else STALE)


@cython.final
cdef class Lines:
    """Complete lines, for somebody who is to ask for MAX_LENGTH and for the transport's state before each."""

    cdef bytes whole
    cdef bytes separator
    cdef Py_ssize_t pos
    cdef Py_ssize_t end
    cdef Py_ssize_t limit
    cdef object owner
    cdef unsigned int tag
    cdef unsigned int announced
    cdef unsigned int closed
    cdef unsigned char watches

    def __dealloc__(self):
        keep(<PyObject *>self, NULL)

    def __bool__(self):
        return self.pos < self.end

    def watch(self, owner, maxLength, transport):
        """Let iteration begin, for `owner`, whose class announces. Returns whether `transport` announces, too."""
        if type(maxLength) in (int, bool):
            self.limit = UNLIMITED if maxLength >= UNLIMITED else -1 if maxLength < 0 else maxLength
            self.tag = LINEBUF_TAG(<PyObject *>owner)
            self.owner = owner if self.tag else None
        self.announced = announcements
        self.watches = tells_of_closing(transport)
        self.closed = closings
        return self.watches != 0

    def __iter__(self):
        return self

    def __next__(self):
        cdef Py_ssize_t length
        cdef PyObject *line
        if (
            self.owner is None
            or self.pos >= self.end
            or (self.watches and self.closed != closings)
            or self.announced != announcements
            or LINEBUF_TAG(<PyObject *>self.owner) != self.tag
        ):
            raise StopIteration
        length = length_of_next(self)
        if length > self.limit:
            raise StopIteration
        line = next_line(<PyObject *>self, text_in(<PyObject *>self.whole) + self.pos, length)
        self.pos += length + size_in(<PyObject *>self.separator)
        return LINEBUF_OWNED(line)

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
        return rest


cdef inline Py_ssize_t length_of_next(Lines self) noexcept:
    return find(text_in(<PyObject *>self.whole), self.pos, self.end, <PyObject *>self.separator) - self.pos


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
    at = find(text, 0, size, <PyObject *>separator)
    while at >= 0:
        end = at + length
        at = find(text, end, size, <PyObject *>separator)
    return end


# The line that was last given to the loop of a receiver, and by whom.
cdef PyObject *last = NULL
cdef PyObject *giver = NULL


cdef inline void keep(PyObject *whose, PyObject *line) noexcept:
    """Remember the line that is given; NULL: forget it."""
    global last, giver
    cdef PyObject *before = last
    if line != NULL and linebuf_isReusable(line):
        linebuf_take(line)
        last = line
        giver = whose
        Py_XDECREF(before)
    elif giver == whose:
        last = giver = NULL
        Py_XDECREF(before)


cdef inline PyObject *next_line(PyObject *whose, const char *text, Py_ssize_t length) except NULL:
    """A line for the loop of a receiver: the one before, if that has nobody else."""
    cdef PyObject *line = last
    if giver == whose and linebuf_reuse(line, length):
        memcpy(text_in(line), text, <size_t>length)
    else:
        line = linebuf_line(text, length)
        keep(whose, line)
    return line


cdef inline int how_to_go_on(LineBuffer self) noexcept:
    if self.state != FAST:
        return self.state
    return BATCHED if self.batches else WATCHED if self.watches else FAST


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
    """The line at the front, which locate() has found, as it stands."""
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
    """Whether all that is held belongs to a line that is being skipped, which is first dropped as far as it is there."""
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
        # Somebody stopped cutting before the end of the last read. From here on the tail takes all.
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


cdef inline bint locate(LineBuffer self) except -1:
    """Whether there is a delimiter. If so, its offset is `searched`, and in the tail if there is one."""
    cdef Py_ssize_t at
    if self.tail != NULL or self.skipping:
        return locate_slowly(self)
    if self.chunk is None:
        return False
    at = find(text_in(<PyObject *>self.chunk), self.searched, size_in(<PyObject *>self.chunk), <PyObject *>self.separator)
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
    at = find(text_in(<PyObject *>self.chunk), self.searched, size_in(<PyObject *>self.chunk), <PyObject *>self.separator)
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
        at = find(text_in(<PyObject *>self.chunk), begin, size_in(<PyObject *>self.chunk), <PyObject *>self.separator)
        if at >= 0:
            move_to_tail(self, at + length)
            self.searched = self.tail.size - length
            return True
        move_to_tail(self, size_in(<PyObject *>self.chunk))
    settle_tail(self)
    return False


cdef bint find_in_tail(LineBuffer self) noexcept:
    cdef Py_ssize_t at = find(bytes_of(self.tail), self.searched, self.tail.size, <PyObject *>self.separator)
    if at >= 0:
        self.searched = at
    return at >= 0


cdef inline Py_ssize_t searched_to(LineBuffer self, Py_ssize_t size) noexcept:
    """What `searched` is when all of `size` bytes were searched in vain: the end of them may begin a delimiter."""
    cdef Py_ssize_t length = size_in(<PyObject *>self.separator)
    if length == 0:
        return size if self.skipping else self.searched
    return size - length + 1 if size - self.searched >= length else self.searched


cdef void settle_chunk(LineBuffer self) noexcept:
    """No delimiter is left in the chunk, and there is no tail: do not hold a large read for a small rest's sake."""
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


# How often a transport has begun to close.
cdef unsigned int closings = 0

# The class of transports that was found, last, to leave `disconnecting` as it is here.
cdef unsigned int teller = 0


cdef bint tells_of_closing(object transport) except -1:
    """Whether `transport` counts in `closings` when it begins to close, and has not begun yet."""
    global teller
    cdef unsigned int tag
    if not isinstance(transport, Disconnectable) or (<Disconnectable>transport).closing:
        return False
    tag = LINEBUF_TAG(<PyObject *>transport)
    if tag == 0 or tag != teller:
        kind = type(transport)
        if not is_plain(kind) or getattr(kind, "disconnecting", None) is not Disconnectable.disconnecting:
            return False
        teller = LINEBUF_TAG(<PyObject *>transport)
    return True


cdef class Disconnectable:
    """Base of transports that say so when they begin to close."""

    cdef bint closing

    @property
    def disconnecting(self):
        """Whether the transport is being closed."""
        return self.closing

    @disconnecting.setter
    def disconnecting(self, value):
        global closings
        self.closing = value
        closings += 1


cdef class OutputBuffer(Disconnectable):
    """What was written and not yet sent. reactor.linecore has the contract.

    A lone write is kept as it came; only the next one begins to gather them. Base of the transports that gather output.
    It is compiled because a short write costs less than half of what it does in Python, and there is one for each
    answered line.
    """

    cdef bytes first
    cdef bytearray gathered
    cdef Py_ssize_t room
    cdef public Py_ssize_t _mark

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

    def _front(self):
        if self.first is not None:
            return self.first
        if self.gathered is None:
            self._mark = -1
        return self.gathered

    def _drop(self, Py_ssize_t count):
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
    self.first = None
    self.gathered = None
    self._mark = -1


cdef inline Py_ssize_t unsent_in(OutputBuffer self) noexcept:
    if self.first is not None:
        return PyBytes_GET_SIZE(self.first)
    return 0 if self.gathered is None else PyByteArray_GET_SIZE(self.gathered)


cdef int gather(OutputBuffer self) except -1:
    """Have what waits in `gathered`."""
    if self.gathered is None:
        self.gathered = bytearray(self.first)
        self.first = None
        self.room = 0
    return 0


cdef char *room_for(OutputBuffer self, Py_ssize_t size) except NULL:
    """Make what is gathered longer by `size`; return where that begins. (A bytearray itself grows by an eighth, and so
    every few lines.)
    """
    cdef Py_ssize_t before, after
    gather(self)
    before = PyByteArray_GET_SIZE(self.gathered)
    after = before + size
    if after > self.room:
        self.room = 0
        PyByteArray_Resize(self.gathered, after + (after if after < 8192 else after >> 3))
        self.room = PyByteArray_GET_SIZE(self.gathered)
    LINEBUF_SET_SIZE(<PyObject *>self.gathered, after)
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


cdef inline int passed(OutputBuffer self, Py_ssize_t added) except -1:
    """`added` bytes were written: ask, if that is to be asked."""
    if unsent_in(self) > self._mark:
        self._passedMark(added)
    return 0


# The class of transports that was found, last, to write as OutputBuffer does.
cdef unsigned int gatherer = 0


cdef bint gathers(object transport) except -1:
    """Whether `transport.write` is OutputBuffer's."""
    global gatherer
    cdef unsigned int tag
    if not isinstance(transport, OutputBuffer):
        return False
    tag = LINEBUF_TAG(<PyObject *>transport)
    if tag == 0 or tag != gatherer:
        kind = type(transport)
        if kind.__dictoffset__ or not is_plain(kind) or getattr(kind, "write", None) is not OutputBuffer.write:
            return False
        gatherer = LINEBUF_TAG(<PyObject *>transport)
    return True


cdef inline bint knows(LineBuffer self, object owner) noexcept:
    """Whether `separator` is the delimiter of `owner`."""
    return self.state == FAST and LINEBUF_TAG(<PyObject *>owner) == self.tag


cdef Py_ssize_t size_joined(LineBuffer self, object lines) noexcept:
    """How long the lines are, each with the delimiter after it; -1 unless `lines` is a list of exact bytes."""
    cdef Py_ssize_t index, size
    if not PyList_CheckExact(lines):
        return -1
    size = PyList_GET_SIZE(lines) * size_in(<PyObject *>self.separator)
    for index in range(PyList_GET_SIZE(lines)):
        if not PyBytes_CheckExact(<object>PyList_GET_ITEM(lines, index)):
            return -1
        size += size_in(PyList_GET_ITEM(lines, index))
    return size


cdef bytes joined(LineBuffer self, list lines, Py_ssize_t size):
    """The lines, each with the delimiter after it."""
    cdef Py_ssize_t index
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(whole)
    for index in range(PyList_GET_SIZE(lines)):
        to = copied(copied(to, PyList_GET_ITEM(lines, index)), <PyObject *>self.separator)
    return whole


cdef inline char *copied(char *to, PyObject *text) noexcept:
    """Copy bytes; return the place behind them. (Most delimiters have two.)"""
    if size_in(text) == 2:
        memcpy(to, text_in(text), 2)
        return to + 2
    memcpy(to, text_in(text), <size_t>size_in(text))
    return to + size_in(text)


cdef bytes ended(LineBuffer self, bytes line):
    """The line with the delimiter after it."""
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(line) + size_in(<PyObject *>self.separator))
    copied(copied(PyBytes_AS_STRING(whole), <PyObject *>line), <PyObject *>self.separator)
    return whole


cdef int write_line(LineBuffer self, OutputBuffer output, bytes line) except -1:
    """Write a line and the delimiter; unless it is the first, without an object that holds both."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(line) + size_in(<PyObject *>self.separator)
    if output.first is None and output.gathered is None:
        output.first = ended(self, line)
    else:
        copied(copied(room_for(output, size), <PyObject *>line), <PyObject *>self.separator)
    return passed(output, size)


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




# How often a setting was announced.
cdef unsigned int announcements = 0


cdef void announce(object owner, str place):
    global announcements
    announcements += 1
    buffer = getattr(owner, place, None)
    if isinstance(buffer, LineBuffer):
        (<LineBuffer>buffer).state = STALE


cdef class AnnouncingAttribute:
    """A class attribute that reads as `default`, the very object, and announces when it is set on an instance.

    An instance's own value is where it would be without this; but to look there makes CPython build a dict for the
    instance, so that is put off until it has got a value of its own. `own` is the attribute that tells, and `place` the
    one that has the buffer. That attribute cannot be trusted where instances may be older than this: they may have got
    their values from before, unannounced. `late` tells, and then the instance's dict is always looked into. For the
    same reason LineReceiver sets `own` when the class of an instance may have changed.
    """

    cdef str name
    cdef object default
    cdef str place
    cdef str own
    cdef bint late

    def __cinit__(self, str name, default, str place, bint late):
        self.name = name
        self.default = default
        self.place = place
        self.own = place.removesuffix("buffer") + "own"
        self.late = late

    def __get__(self, owner, cls):
        if owner is None or not (self.late or PyObject_GenericGetAttr(owner, self.own)):
            return self.default
        return owner.__dict__.get(self.name, self.default)

    def __set__(self, owner, value):
        owner.__dict__[self.name] = value
        PyObject_GenericSetAttr(owner, self.own, True)
        announce(owner, self.place)

    def __delete__(self, owner):
        try:
            del owner.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None
        announce(owner, self.place)


# The types of values that a class attribute which announces may have.
cdef tuple PLAIN = (bytes, int, bool, type(None))
cdef dict verdicts = {}


def announcingFromTheStart(cls, root, names):
    """Have those of the class attributes `names` announce that `cls` itself defines. It is new, without an instance."""
    for name in names:
        if name in cls.__dict__ and type(cls.__dict__[name]) in PLAIN:
            announce_in(cls, root, name, False)


def announces(cls, root, names):
    """Return whether instances of `cls` tell their buffer when one of the attributes `names` is set.

    Class attributes of `root` and its subclasses are made to do so.
    """
    cdef unsigned int tag = LINEBUF_TAG_OF(<PyObject *>cls)
    cdef tuple known = verdicts.get(tag)
    if known is None or known[0] is not names:
        verdict = is_plain(cls) and all([has_announcing(cls, root, name) for name in names])
        # That may have changed the class; looking an attribute up gives it its number. (A setting's own descriptor may
        # refuse to be asked through the class.)
        getattr(cls, "__init__")
        tag = LINEBUF_TAG_OF(<PyObject *>cls)
        if tag:
            if len(verdicts) >= 4096:
                verdicts.clear()
            verdicts[tag] = (names, verdict)
        return verdict
    return known[1]


cdef bint is_plain(object cls) except -1:
    """Whether `cls` leaves the access to attributes to CPython."""
    return (
        cls.__getattribute__ is object.__getattribute__
        and cls.__setattr__ is object.__setattr__
        and cls.__delattr__ is object.__delattr__
    )


cdef bint has_announcing(object cls, object root, str name) except -1:
    """Whether attribute `name` of `cls` announces, having been made to do so if it is our own subclass's."""
    for owner in cls.__mro__:
        if name in owner.__dict__:
            value = owner.__dict__[name]
            break
    else:
        return False
    if isinstance(value, AnnouncingAttribute):
        return True
    if type(value) not in PLAIN or root not in owner.__mro__:
        return False
    return announce_in(owner, root, name, True)


cdef bint announce_in(object cls, object root, str name, bint late) except -1:
    """Have the class attribute `name` of `cls` announce. Return whether `cls` allows it."""
    try:
        setattr(cls, name, AnnouncingAttribute(name, cls.__dict__[name], f"_{root.__name__}__buffer", late))
    except (AttributeError, TypeError):
        return False
    return True
