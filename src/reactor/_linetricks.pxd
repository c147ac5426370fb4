"""src/linetricks.h for Cython, and the plain C names that every module of the line core needs."""

from cpython.object cimport PyObject

cdef extern from "linetricks.h":
    # setup.py defines this one.
    const char *LINE_SOURCE_HASH

    ctypedef struct line_mutex:
        pass
    ctypedef struct line_section:
        pass

    const int LINE_HAS_GIL
    unsigned int LINE_READ(unsigned int *) noexcept
    void LINE_WRITE(unsigned int *, unsigned int) noexcept
    void LINE_COUNT(unsigned int *) noexcept
    void LINE_LOCK(line_mutex *) noexcept
    void LINE_UNLOCK(line_mutex *) noexcept
    void LINE_BEGIN(line_section *, object) noexcept
    void LINE_END(line_section *) noexcept
    unsigned int LINE_TAG(PyObject *)
    unsigned int LINE_TAG_OF(PyObject *)
    object LINE_OWNED(PyObject *)
    void LINE_SET_SIZE(PyObject *, Py_ssize_t)
    PyObject *line_new(const char *, Py_ssize_t) except NULL
    bint line_isReusable(PyObject *) noexcept
    void line_take(PyObject *) noexcept
    bint line_reuse(PyObject *, Py_ssize_t) noexcept
    list line_list(Py_ssize_t)
    int line_push(list, PyObject *) except -1
    const char *line_find(const char *at, const char *end, char wanted) noexcept
    Py_ssize_t line_search(const char *text, Py_ssize_t start, Py_ssize_t size, PyObject *delimiter) noexcept

    const Py_ssize_t PY_SSIZE_T_MAX
    char *text_in "PyBytes_AS_STRING"(PyObject *)
    Py_ssize_t size_in "PyBytes_GET_SIZE"(PyObject *)
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    # The caller looks whether it is negative: a `try` for a BufferError costs more than all else of a short line.
    int resize_array "PyByteArray_Resize"(object, Py_ssize_t) noexcept
