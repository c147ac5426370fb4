# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
# cython: freethreading_compatible=True
# No GIL is needed: "Without the GIL" below says which lock guards each part.
"""Settings that announce themselves: how the line core knows MAX_LENGTH and its like without asking before each line.

Nothing but a handler can change a setting while lines are delivered, and no C code runs a handler. So a change happens
only between two steps of an iteration, and each step makes sure that there was none. There are three kinds of change:

- The owner's class, or a base of it, gets another attribute, or the owner gets another class. CPython gives each state
  of each class a number (`tag`; 0 is no number). Each step compares this number.
- The instance gets an attribute. AnnouncingAttribute takes the place of the class attribute of each setting. Setting it
  stores the value in the instance, and announces: the owner's buffer, a Follower, loses what it knows of its settings.
- The transport begins to close. `_sending.pyx` counts that.

LineReceiver and its subclasses alone get an AnnouncingAttribute, and for plain values alone. A setting from a mixin
stays as is, and so does a property. A class with such a setting, or with its own access to attributes, is one that the
receiver asks before each line. A value that a program writes into the `__dict__` of an instance announces nothing.

Without the GIL
===============

Several threads may make receivers of one class, and each receiver belongs to one thread:

    part                    what makes it safe
    announcementCount       an atomic number
    Follower.settings       the critical section of the Follower, which is the LineBuffer
    pristine, verdicts      the locks of set and dict. An entry is right by itself: what was found out about a class is
                            kept for the number that the class had before, and has still
    a class's descriptors   announcingFromTheStart and announces put them there in the critical section of `pristine`.
                            The marker comes behind them: an instance that finds it cannot set what does not announce
"""

cimport cython
from cpython.object cimport PyObject, PyObject_GenericGetAttr, PyObject_GenericSetAttr

from reactor._linetricks cimport LINE_COUNT, LINE_SOURCE_HASH, LINE_TAG, LINE_TAG_OF

SOURCE_HASH = LINE_SOURCE_HASH.decode("ascii")

cdef unsigned int announcementCount = 0


@cython.auto_pickle(False)
cdef class Follower:
    """Base of LineBuffer: what it knows of the settings of its owner, and until when. See the table of _linebuf.pyx."""


cdef void announce(object owner, str place):
    LINE_COUNT(&announcementCount)
    buffer = getattr(owner, place, None)
    if isinstance(buffer, Follower):
        with cython.critical_section(buffer):
            (<Follower>buffer).settings = UNKNOWN


# The version numbers of classes that have not changed since before their first instance. Each setting that an instance
# of such a class has was announced. With other classes that is not sure. For example, mock.patch replaces a class
# attribute and puts it back. An instance that sets its own meanwhile announces nothing.
cdef set pristine = set()


cdef class AnnouncingAttribute:
    """A class attribute that reads as `default`, the very object, and announces when it is set on an instance.

    An instance keeps its own value in its `__dict__`, as it would without this descriptor. To look there makes CPython
    build a dict for the instance, which costs memory. So an instance of a pristine class is looked into only if its
    attribute `own` is true: __set__ makes it so. LineReceiver does the same for an instance that may have had another
    class.
    `place` names the attribute that has the buffer.
    """

    cdef str name
    cdef object default
    cdef str place
    cdef str own

    def __cinit__(self, str name, default, str place):
        self.name = name
        self.default = default
        self.place = place
        self.own = place.removesuffix("buffer") + "own"

    def __get__(self, owner, cls):
        if owner is None or not may_have_own(self, owner):
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


cdef bint may_have_own(AnnouncingAttribute self, object owner) except -1:
    """Whether `owner` may have a value of its own: if it says so, or if what it says cannot be relied on."""
    try:
        if PyObject_GenericGetAttr(owner, self.own):
            return True
    except AttributeError:
        # The descriptor was copied into a class of another kind.
        return True
    return LINE_TAG(<PyObject *>owner) not in pristine


# The types of values that a class attribute which announces may have.
cdef tuple PLAIN = (bytes, int, bool, type(None))

# The verdicts of `announces`, by the version number of the class.
cdef dict verdicts = {}

# How many entries `verdicts` and `pristine` have at most. One that is forgotten costs time or memory, and nothing else.
cdef enum:
    LIMIT = 4096


def announcingFromTheStart(cls, root, names):
    """Have the class attributes `names` of `cls` announce from its first instance on: `cls` has none yet.

    So do those of its bases that are subclasses of `root`. Class decorators have run by then: some of them, attrs for
    example, take what is in a class for the plain value.
    """
    with cython.critical_section(pristine):
        prepare(cls, root, names)


cdef int prepare(object cls, object root, tuple names) except -1:
    marker = f"_{root.__name__}__prepared"
    new = [each for each in reversed(cls.__mro__) if root in each.__mro__ and each.__dict__.get(marker) is not each]
    for each in new:
        for name in names:
            if name in each.__dict__:
                announce_in(each, root, name)
    try:
        for each in new:
            setattr(each, marker, each)
    except (AttributeError, TypeError):
        return 0
    if len(pristine) >= LIMIT:
        pristine.clear()
    for each in new:
        pristine.add(tag_of(each))
    pristine.discard(0)
    return 0


def announces(cls, root, names):
    """Return whether instances of `cls` tell their buffer when one of the attributes `names` is set.

    Class attributes of `root` and its subclasses are made to do so.
    """
    cdef unsigned int tag = LINE_TAG_OF(<PyObject *>cls)
    cdef tuple known = verdicts.get(tag)
    if known is None or known[0] is not names:
        with cython.critical_section(pristine):
            verdict = all_announce(cls, root, names)  # that may change the class
            tag = tag_of(cls)
            verdict = all_announce(cls, root, names)
            if tag and tag == tag_of(cls):  # no other thread has changed it, either
                if len(verdicts) >= LIMIT:
                    verdicts.clear()
                verdicts[tag] = (names, verdict)
        return verdict
    return known[1]


cdef bint all_announce(object cls, object root, names) except -1:
    return is_plain(cls) and all([has_announcing(cls, root, name) for name in names])


cdef unsigned int tag_of(object cls) except? 0:
    """The version number of `cls`, 0 if it can have none."""
    # Looking an attribute up gives the class its number. A setting's own descriptor may refuse to be looked up so.
    getattr(cls, "__init__")
    return LINE_TAG_OF(<PyObject *>cls)


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
            break
    else:
        return False
    return announce_in(owner, root, name)


cdef bint announce_in(object cls, object root, str name) except -1:
    """Have the class attribute `name` of `cls` announce. Return whether it does: its value and `cls` must allow it."""
    value = cls.__dict__.get(name, PLAIN)  # a tuple, if it has none
    if isinstance(value, AnnouncingAttribute):
        return True
    if type(value) not in PLAIN or root not in cls.__mro__:
        return False
    try:
        setattr(cls, name, AnnouncingAttribute(name, value, f"_{root.__name__}__buffer"))
    except (AttributeError, TypeError):
        return False
    return True
