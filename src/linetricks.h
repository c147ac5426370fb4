/* The C tricks of the line core. Each comment says what the trick is, why it is safe, and what it earns.

   The numbers are instructions for each line of 8 bytes, counted by callgrind on CPython 3.11, in reads of 100 lines.
   With all tricks a line that LineReceiver delivers takes 668, an answered line 1,538, and a line of a batch 304. */

#ifndef REACTOR_LINETRICKS_H
#define REACTOR_LINETRICKS_H

#include <Python.h>
#include <stddef.h>
#include <string.h>

/* Numbers that several threads read and write, where there is no GIL. Nothing else is ordered by them.
   Safe: with the GIL, one thread at a time runs this code, and each is a plain access. */
#ifdef Py_GIL_DISABLED
#define LINE_READ(number) _Py_atomic_load_uint32_relaxed(number)
#define LINE_WRITE(number, value) _Py_atomic_store_uint32_relaxed(number, value)
#define LINE_COUNT(number) ((void)_Py_atomic_add_uint32(number, 1))
#else
#define LINE_READ(number) (*(number))
#define LINE_WRITE(number, value) ((void)(*(number) = (value)))
#define LINE_COUNT(number) ((void)++*(number))
#endif

#ifdef Py_GIL_DISABLED
#define LINE_HAS_GIL 0
#else
#define LINE_HAS_GIL 1
#endif

/* A lock for a few steps in C that call no code in Python. With the GIL it is a byte, and costs nothing.
   Safe: as a PyMutex is never released in between, unlike a critical section, no other thread sees a half-done step. */
#ifdef Py_GIL_DISABLED
typedef PyMutex line_mutex;
#define LINE_LOCK(mutex) PyMutex_Lock(mutex)
#define LINE_UNLOCK(mutex) PyMutex_Unlock(mutex)
#else
typedef unsigned char line_mutex;
#define LINE_LOCK(mutex) ((void)(mutex))
#define LINE_UNLOCK(mutex) ((void)(mutex))
#endif

/* A critical section of an object, which the caller keeps alive.
   Cython's own takes a reference, too: 4 instructions of 668, which would be counted with the GIL as well. */
#ifdef Py_GIL_DISABLED
typedef PyCriticalSection line_section;
#define LINE_BEGIN(section, object) PyCriticalSection_Begin(section, (PyObject *)(object))
#define LINE_END(section) PyCriticalSection_End(section)
#else
typedef unsigned char line_section;
#define LINE_BEGIN(section, object) ((void)(section))
#define LINE_END(section) ((void)(section))
#endif

/* The number of a class's present state, 0 if the class has none. Comparing it replaces looking attributes up.
   Safe: CPython gives each state of each class a number of its own, and takes it away when the class or a base changes.
   Earns: the loop that asks for each setting before each line takes 8,126 for the line that takes 668 here. */
#define LINE_TAG(object) LINE_READ(&Py_TYPE(object)->tp_version_tag)
#define LINE_TAG_OF(type) LINE_READ(&((PyTypeObject *)(type))->tp_version_tag)

/* A reference that changes hands: Cython returns it as it is, and neither takes one more nor drops one.
   Safe: each use returns the reference that `line_new` or `line_reuse` has just made for the caller.
   Earns: 2 of 670. From CPython 3.12 on, half the time of a short line: the increment writes 32 bits of the count, the
   decrement then reads 64, and the processor waits for that. */
#define LINE_OWNED(object) (object)

/* A bytearray grows within the memory that it has, without a call of PyByteArray_Resize.
   Safe: the caller stays within the size of its last PyByteArray_Resize, so no memory moves, and it writes the byte 0
   behind the end, as CPython does. Without the GIL, other threads may read the size, as an atomic number.
   Earns: 75 of 1,614 for an answered line. */
#ifdef Py_GIL_DISABLED
#define LINE_SET_SIZE(object, size) _Py_atomic_store_ssize_relaxed(&((PyVarObject *)(object))->ob_size, size)
#else
#define LINE_SET_SIZE(object, size) Py_SET_SIZE((PyVarObject *)(object), size)
#endif

/* Set the size of a bytes object that no other code has. */
static inline void line_end(PyObject *line, Py_ssize_t size) {
    Py_SET_SIZE((PyVarObject *)line, size);
    PyBytes_AS_STRING(line)[size] = 0;
}

/* How many bytes a line of `size` gets memory for. */
static inline Py_ssize_t line_room(Py_ssize_t size) {
    const Py_ssize_t header = offsetof(PyBytesObject, ob_sval) + 1;
    return ((header + size + 15) & ~(Py_ssize_t)15) - header;
}

/* A bytes object that is made with room up to the next 16 bytes and then shortened: `line_reuse` may lengthen it again.
   Safe: allocators round up to 16 bytes anyway, and the size is set before any other code gets the object.
   Earns: nothing by itself; it is the condition of `line_reuse`. */
static inline PyObject *line_new(const char *text, Py_ssize_t size) {
    PyObject *line;
    if (size < 2)
        return PyBytes_FromStringAndSize(text, size);
    line = PyBytes_FromStringAndSize(NULL, line_room(size));
    if (line != NULL) {
        memcpy(PyBytes_AS_STRING(line), text, (size_t)size);
        line_end(line, size);
    }
    return line;
}

#ifdef Py_GIL_DISABLED
#define line_isReusable(line) 0
#define line_take(object) Py_INCREF(object)
#define line_reuse(line, size) 0
#else

/* Lines of no byte and of one are objects that everybody shares, and immortal from CPython 3.12 on. */
#define line_isReusable(line) (Py_SIZE(line) > 1)

/* One more reference, counted in the width in which CPython gives a reference back.
   Safe: the object is a line of `line_new`, which is not immortal, and the GIL is held; debug builds use Py_INCREF.
   Earns: nothing on CPython 3.11. From 3.12 on the same wait as above, half the time of a short line. */
#ifdef Py_REF_DEBUG
#define line_take(object) Py_INCREF(object)
#else
#define line_take(object) ((object)->ob_refcnt++)
#endif

/* A line that no other code has becomes the next one: its size is set and its hash forgotten; the caller writes its
   bytes, and gets a reference of its own. Nothing happens, and the result is 0, if the next line needs other room.
   Safe: two references are that of `lastLine` and that of the variable of the loop that asks, so no other code can see
   the bytes change. Only the receivers' own loops ask. CPython's zip() does the same with its tuples.
   Earns: 120 of 788. */
static inline int line_reuse(PyObject *line, Py_ssize_t size) {
    if (line->ob_refcnt != 2 || size < 2 || line_room(Py_SIZE(line)) != line_room(size))
        return 0;
    line_end(line, size);
    _Py_COMP_DIAG_PUSH
    _Py_COMP_DIAG_IGNORE_DEPR_DECLS
    ((PyBytesObject *)line)->ob_shash = -1;
    _Py_COMP_DIAG_POP
    line_take(line);
    return 1;
}
#endif

/* An empty list that has memory for some items, and `line_push`, which takes the reference to the item it appends.
   Safe: a list may have more memory than items (`allocated`), CPython fills such a list in the same way, and no
   other code gets the list before it is complete. Without the GIL, PyList_Append is called instead.
   Earns: 50 of 355 for a line of a batch. */
static inline PyObject *line_list(Py_ssize_t room) {
#ifndef Py_GIL_DISABLED
    PyObject *list = PyList_New(room);
    if (list != NULL)
        Py_SET_SIZE((PyVarObject *)list, 0);
    return list;
#else
    return PyList_New(0);
#endif
}

static inline int line_push(PyObject *list, PyObject *item) {
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

/* memchr that looks at the first 32 bytes itself, 16 at a time.
   Safe: it loads 16 bytes only where 16 bytes are left, and unaligned loads are allowed; other machines call memchr.
   Earns: 6 of 674, and 3 of 34 ns. For 32 bytes memchr takes 17 instructions less, and 1 ns more. */
#if defined(__SSE2__)
#include <emmintrin.h>
static inline const char *line_find(const char *at, const char *end, char wanted) {
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
static inline const char *line_find(const char *at, const char *end, char wanted) {
    return memchr(at, wanted, (size_t)(end - at));
}
#endif

/* The offset of the first delimiter that begins at or after `start` and ends by `size`, or -1. It is inlined by force.
   Safe: it reads `text` before `size` only, and whatever the compiler does with it, the result is the same.
   Earns: 14 of 682: what GCC inlines by itself depends on what else is in the file. */
#ifdef __GNUC__
__attribute__((always_inline))
#endif
static inline Py_ssize_t line_search(const char *text, Py_ssize_t start, Py_ssize_t size, PyObject *delimiter) {
    const char *wanted = PyBytes_AS_STRING(delimiter);
    const Py_ssize_t before = PyBytes_GET_SIZE(delimiter) - 1;
    const char *end = text + size;
    const char *at;
    if (before < 0 || size - start <= before)
        return -1;
    for (at = text + start + before; at < end; at++) {
        at = line_find(at, end, wanted[before]);
        if (at == NULL)
            return -1;
        if (before == 0)
            return at - text;
        if (at[-1] == wanted[before - 1] && (before == 1 || memcmp(at - before, wanted, (size_t)before - 1) == 0))
            return at - before - text;
    }
    return -1;
}

#endif
