"""The files of UNIX sockets: who owns a path, how it gets its mode, and what is removed at the end.

A socket's path outlives the process that was killed, and it cannot be bound again until somebody removes it. Whoever
does that must know that nobody lives behind it, so:
- `path.lock` is locked with flock() for as long as the socket lives. The kernel ends the lock with the process,
  however it ends, so a held lock is a live owner and no process number has to be believed. The lock file goes with the
  socket. As its name may by then belong to a newer file, whoever gets a lock looks at the name again.
- An exclusive lock is an owner's. Who only asks takes a shared one, for a moment, and an owner to be tries again.
- With the lock held a socket file is tried: if somebody answers, it belongs to a server that takes no lock, and stays.
  Only a socket that refuses is removed; a file of any other kind never is.
- Twisted's lock has the same name: a symbolic link to its owner's process number. One of a live process is respected;
  one of a dead process, whose socket refuses, is removed, by one starter at a time, as the name may be ours a moment
  later: the lock of the directory sees to that.
- Nothing is removed at the end but the very file (device and inode) that was made.

A mode needs no window: Linux gives the new file the mode of the socket itself, less the umask, so fchmod() comes before
bind(), and the file is never open to more than it was meant for. What the umask took is added afterwards, through a
descriptor that no symbolic link can mislead. Not chosen: to set the umask, which other threads share (done where the
system refuses that fchmod()); a private directory and a rename, after which every peer sees another name.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

from reactor import _numbers
from reactor._numbers import closeNumber, openFile
from reactor.error import UnsupportedAddressFamily

with suppress(ImportError):  # Windows has neither it nor such paths
    import fcntl

LONGEST_PATH = 107  # bytes: sun_path of unix(7), less the NUL at its end
ATTEMPTS = 1000
LOCK_SUFFIX = b".lock"

Identity = tuple[int, int]


def openSocket(kind: int) -> socket.socket:
    """Return a new non-blocking UNIX socket. UnsupportedAddressFamily where the system has none."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise UnsupportedAddressFamily("this system has no UNIX sockets")
    sock = _numbers.openSocket(family, kind)
    sock.setblocking(False)
    return sock


def isAbstract(name: bytes) -> bool:
    """Whether `name` is in Linux's abstract namespace: no file, and no mode, so open to every local user."""
    return name.startswith(b"\0")


def checkName(name: bytes | None) -> bytes:
    """Return `name`. OSError if no socket can have it, or if the system would take it for something else."""
    if not name:
        raise OSError(errno.EINVAL, "an empty path")
    if isAbstract(name):
        if len(name) > LONGEST_PATH + 1:
            raise OSError(errno.ENAMETOOLONG, f"an abstract name of {len(name)} bytes, {LONGEST_PATH + 1} is the most")
    elif b"\0" in name:
        raise OSError(errno.EINVAL, "a path with a NUL byte inside")
    elif len(name) > LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, f"a path of {len(name)} bytes, {LONGEST_PATH} is the most for a socket")
    return name


class PathLock:
    """The lock beside a path. acquire() and release() are for whoever binds it, isHeld() for anybody.

    `name` leads to the socket too, and may be short enough for it where `path` is not.
    """

    def __init__(self, path: bytes, name: bytes | None = None) -> None:
        self._path = path + LOCK_SUFFIX
        self._name = name or path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock. OSError (EADDRINUSE) if somebody has it, or whatever keeps the file from being made."""
        for _ in range(ATTEMPTS):
            try:
                fd = openFile(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            except OSError as error:
                if error.errno != errno.ELOOP or not self._removeDeadLink():
                    raise
                continue
            try:
                if self._lock(fd) and self._isCurrent(fd):
                    self._fd, fd = fd, -1
                    return
            finally:
                if fd >= 0:
                    closeNumber(fd)
        raise OSError(errno.EAGAIN, "the lock file changes all the time")

    def release(self) -> None:
        """Remove the lock file and let go. Nothing if it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # who may not remove it leaves it, and the next owner takes it
                if self._isCurrent(fd):
                    os.unlink(self._path)
            closeNumber(fd)

    def fileno(self) -> int:
        """Return the descriptor of the lock file, -1 if the lock is not held."""
        return self._fd

    def isHeld(self) -> bool:
        """Whether a live process has the lock."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            owner = _ownerOfLink(self._path) if error.errno == errno.ELOOP else None
            return owner is not None and _isAlive(owner)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            closeNumber(fd)
        return False

    def _lock(self, fd: int) -> bool:
        """Whether the exclusive lock is ours. OSError if it is somebody else's; False if somebody looked meanwhile."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, "a live process holds its lock file") from None
        return False

    def _removeDeadLink(self) -> bool:
        """Remove the link of a dead process. OSError if it is alive; False if the link is something else."""
        directory = os.open(os.path.dirname(self._path) or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = _ownerOfLink(self._path)
            if owner is None:
                return not os.path.islink(self._path)
            # A process number that means nothing here may mean something in the container that the server runs in.
            if _isAlive(owner) or not _isDead(self._name, socket.SOCK_STREAM):
                raise OSError(errno.EADDRINUSE, f"process {owner} holds its lock file")
            os.unlink(self._path)
            return True
        except BlockingIOError:  # somebody else removes it at this moment
            return True
        finally:
            closeNumber(directory)

    def _isCurrent(self, fd: int) -> bool:
        """Whether the name still leads to the open file; if so, one that was made for this."""
        mine = os.fstat(fd)
        if not stat.S_ISREG(mine.st_mode):
            raise OSError(errno.EEXIST, f"{os.fsdecode(self._path)} is no lock file")
        return _identityOf(self._path) == (mine.st_dev, mine.st_ino)


class BoundPath:
    """The file of a bound socket, from bind() to release(). Abstract names have none, and nothing to release."""

    def __init__(self, name: bytes, wantLock: bool) -> None:
        self._name = checkName(name)
        self._isFile = not isAbstract(name)
        self._path = os.path.abspath(name) if self._isFile else name  # who changes the directory must not miss it
        self._lock = PathLock(self._path, name) if wantLock and self._isFile else None
        self._identity: Identity | None = None

    def bind(self, sock: socket.socket, mode: int) -> None:
        """Bind `sock`, its file having `mode` from the first. OSError if that fails; everything is then as before.

        With a lock, the path of a dead socket is taken over; without one, any file there is an error.
        """
        if not self._isFile:
            sock.bind(self._name)
            return
        if self._lock is not None:
            self._lock.acquire()
        try:
            if self._lock is not None:
                _removeStale(self._name, sock.type)
            _bindWithMode(sock, self._name, mode)
            self._identity = _identityOf(self._path)
            _addModeBits(self._path, self._identity, mode)
        except BaseException:
            self.release()
            raise

    def forked(self) -> list[int]:
        """In a forked child: the file is the parent's. Return the descriptors that are, too."""
        self._identity = None
        return [] if self._lock is None else [self._lock.fileno()]

    def release(self) -> None:
        """Remove the file if it is still ours, then let the lock go."""
        identity, self._identity = self._identity, None
        if identity is not None:
            with suppress(OSError):  # who has given up the right to remove it leaves it to the next owner
                if _identityOf(self._path) == identity:
                    os.unlink(self._path)
        if self._lock is not None:
            self._lock.release()


def _identityOf(path: bytes) -> Identity | None:
    """What tells the file at `path` from any other, links not followed; None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)


def _ownerOfLink(path: bytes) -> int | None:
    """The process that a symbolic link at `path` names; None if it is no link, or names no process."""
    try:
        target = os.readlink(path)
    except OSError:
        return None
    return int(target) if target.isdigit() and len(target) < 10 and int(target) else None


def _isAlive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def _isDead(name: bytes, kind: int) -> bool:
    """Whether nobody lives behind the socket `name`, of whatever kind that is."""
    with openSocket(kind) as probe:
        return probe.connect_ex(name) in (errno.ECONNREFUSED, errno.ENOENT)


def _removeStale(name: bytes, kind: int) -> None:
    """Remove a socket behind which nobody lives. OSError if there is anything else."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(name).st_mode):
            raise OSError(errno.EADDRINUSE, "there is a file that is no socket")
        if not _isDead(name, kind):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        os.unlink(name)


def _bindWithMode(sock: socket.socket, name: bytes, mode: int) -> None:
    """Bind `sock` to a file that has no permission beyond `mode` at any time."""
    try:
        os.fchmod(sock.fileno(), mode)
    except OSError:
        outer = os.umask(~mode & 0o777)
        try:
            sock.bind(name)
        finally:
            os.umask(outer)
    else:
        sock.bind(name)


def _addModeBits(path: bytes, identity: Identity | None, mode: int) -> None:
    """Give our file at `path` those permissions of `mode` that the umask has withheld."""
    if os.lstat(path).st_mode & 0o777 == mode & 0o777:
        return
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == identity:
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        closeNumber(fd)
