"""src/linetricks.h for Cython, and the plain C names that every module of the line core needs."""

from cpython.object cimport PyObject

cdef extern from "linetricks.h":
    # setup.py defines this one.
    const char *LINE_SOURCE_HASH

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
