# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False
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
"""

cimport cython
from cpython.object cimport PyObject, PyObject_GenericGetAttr, PyObject_GenericSetAttr

from reactor._linetricks cimport LINE_SOURCE_HASH, LINE_TAG_OF

SOURCE_HASH = LINE_SOURCE_HASH.decode("ascii")

cdef unsigned int announcementCount = 0


@cython.auto_pickle(False)
cdef class Follower:
    """Base of LineBuffer: what it knows of the settings of its owner, and until when. See the table of _linebuf.pyx."""


cdef void announce(object owner, str place):
    global announcementCount
    announcementCount += 1
    buffer = getattr(owner, place, None)
    if isinstance(buffer, Follower):
        (<Follower>buffer).settings = UNKNOWN


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
    cdef unsigned int tag = LINE_TAG_OF(<PyObject *>cls)
    cdef tuple known = verdicts.get(tag)
    if known is None or known[0] is not names:
        verdict = is_plain(cls) and all([has_announcing(cls, root, name) for name in names])
        # That may have changed the class; looking an attribute up gives it its number. (A setting's own descriptor may
        # refuse to be asked through the class.)
        getattr(cls, "__init__")
        tag = LINE_TAG_OF(<PyObject *>cls)
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
