"""The part of src/_announcing.pyx that the other modules of the line core use."""

# A Follower's knowledge of its owner's settings.
cdef enum:
    UNKNOWN = 0
    KNOWN = 1
    REFUSED = 2

# How often a setting was announced, by all owners together.
cdef unsigned int announcementCount


cdef class Follower:
    # The state of the owner's class (its version number) for which `settings` was found out; 0 for none.
    cdef unsigned int tag
    cdef unsigned char settings
    # Whether the owner gets its lines in batches.
    cdef unsigned char batches
    # Whether the owner's transport counts its closing in `closingCount`.
    cdef unsigned char watches
    # Whether no complete line, and none that is too long, was left of the last read.
    cdef unsigned char spent


cdef bint is_plain(object cls) except -1
