"""The files of UNIX sockets: the owner of a path, its mode, and its removal at the end.

The path of a socket outlives a killed process, and cannot be bound again until it is removed. The code that removes it
must know that no live process owns it. The rules:

- `path.lock` is locked with flock() as long as the socket lives. The kernel ends the lock with the process, however it
  ends. So a held lock is a live owner, and no process number needs trust. The lock file is removed with the socket. Its
  name may belong to a newer file by then, so the code that gets a lock checks the name again.
- An owner has an exclusive lock. A process that only asks takes a shared one, for a moment, and a new owner tries
  again.
- With the lock held, the socket file is tried. If it answers, it belongs to a server without a lock, and stays. Only a
  socket that refuses is removed, and never a file of another kind.
- Twisted's lock has the same name: a symbolic link to its owner's process number. The link of a live process is
  respected. The link of a dead process, whose socket refuses, is removed. A lock on the directory makes sure that only
  one process does this at a time, as the name may be another's a moment later.
- At the end only the file that was made is removed (the same device and inode).

The mode is right from the first moment. Linux gives the new file the mode of the socket itself, less the umask. So
fchmod() comes before bind(), and the file never has wider permissions than `mode`. The bits that the umask removed are
added afterwards, through a descriptor that no symbolic link can redirect. Not chosen: setting the umask, which other
threads share; a private directory and a rename, after which every peer sees another name. If the system refuses that
fchmod(), the umask is set all the same.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress

from reactor import _numbers
from reactor._numbers import closeNumber, openFile
from reactor.error import UnsupportedAddressFamily

with suppress(ImportError):  # Windows has neither it nor such paths
    import fcntl

# Bytes: sun_path of unix(7), less the NUL at its end. The systems that come from BSD have four fewer.
LONGEST_PATH = 107 if sys.platform == "linux" else 103
ATTEMPTS = 1000
LOCK_SUFFIX = b".lock"

Identity = tuple[int, int]


def openSocket(kind: int) -> socket.socket:
    """Return a new non-blocking UNIX socket. UnsupportedAddressFamily if the system has none."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise UnsupportedAddressFamily("this system has no UNIX sockets")
    sock = _numbers.openSocket(family, kind)
    sock.setblocking(False)
    return sock


def isAbstract(name: bytes) -> bool:
    """Whether `name` is in Linux's abstract namespace: without file and mode, so open to every local user."""
    return name.startswith(b"\0")


def checkName(name: bytes | None) -> bytes:
    """Return `name`. OSError if no socket can have it, or if the system would read it as another name."""
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
    """The lock beside a path. The owner of the path calls acquire() and release(); any code may call isHeld().

    `name` leads to the socket too, and may be short enough for a socket if `path` is not.
    """

    def __init__(self, path: bytes, name: bytes | None = None) -> None:
        self._path = path + LOCK_SUFFIX
        self._name = name or path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock. OSError (EADDRINUSE) if a process has it, or if the file cannot be made."""
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
        """Remove the lock file and release the lock, if it is held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # without permission to remove it, it stays, and the next owner takes it
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
        """Whether the exclusive lock is ours. OSError if another process has it; False if one looked meanwhile."""
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
        """Remove the link of a dead process. OSError if the process is alive; False if it is no such link."""
        directory = os.open(os.path.dirname(self._path) or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = _ownerOfLink(self._path)
            if owner is None:
                return not os.path.islink(self._path)
            # A process number that is unknown here may be known in the container of the server.
            if _isAlive(owner) or not _isDead(self._name, socket.SOCK_STREAM):
                raise OSError(errno.EADDRINUSE, f"process {owner} holds its lock file")
            os.unlink(self._path)
            return True
        except BlockingIOError:  # another process removes it at this moment
            return True
        finally:
            closeNumber(directory)

    def _isCurrent(self, fd: int) -> bool:
        """Whether the name still leads to the open file. OSError if that is no lock file."""
        mine = os.fstat(fd)
        if not stat.S_ISREG(mine.st_mode):
            raise OSError(errno.EEXIST, f"{os.fsdecode(self._path)} is no lock file")
        return _identityOf(self._path) == (mine.st_dev, mine.st_ino)


class BoundPath:
    """The file of a bound socket, from bind() to release(). Abstract names have none, and nothing to release."""

    def __init__(self, name: bytes, wantLock: bool) -> None:
        self._name = checkName(name)
        self._isFile = not isAbstract(name)
        self._path = os.path.abspath(name) if self._isFile else name  # a change of the directory must not lose the path
        self._lock = PathLock(self._path, name) if wantLock and self._isFile else None
        self._identity: Identity | None = None

    def bind(self, sock: socket.socket, mode: int) -> None:
        """Bind `sock` to a file that has `mode` from the first moment. OSError leaves everything as before.

        With a lock, the path of a dead socket is taken over. Without one, any file there is an error.
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

    @property
    def isOurs(self) -> bool:
        """Whether the name leads to the bound socket still. True if the system does not let this process look."""
        if not self._isFile:
            return True
        try:
            return self._identity is not None and _identityOf(self._path) == self._identity
        except NotADirectoryError:
            return False
        except OSError:
            return True

    def forked(self) -> list[int]:
        """In a forked child: forget the file, which is the parent's. Return the parent's descriptors."""
        self._identity = None
        return [] if self._lock is None else [self._lock.fileno()]

    def release(self) -> None:
        """Remove the file if it is still ours, then release the lock."""
        identity, self._identity = self._identity, None
        if identity is not None:
            with suppress(OSError):  # a process that has given up the right to remove it leaves it to the next owner
                if _identityOf(self._path) == identity:
                    os.unlink(self._path)
        if self._lock is not None:
            self._lock.release()


def _identityOf(path: bytes) -> Identity | None:
    """Return the identity of the file at `path`, without following links, or None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)


def _ownerOfLink(path: bytes) -> int | None:
    """Return the process that a symbolic link at `path` names, or None."""
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
    """Whether no live process owns the socket `name`, of any kind."""
    with openSocket(kind) as probe:
        return probe.connect_ex(name) in (errno.ECONNREFUSED, errno.ENOENT)


def _removeStale(name: bytes, kind: int) -> None:
    """Remove a socket without a live owner. OSError if the file is anything else."""
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
    """Give our file at `path` the permissions of `mode` that the umask has removed."""
    if os.lstat(path).st_mode & 0o777 == mode & 0o777:
        return
    fd = os.open(path, _numbers.ofSystem("O_PATH", "O_NOFOLLOW"))
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == identity:
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        closeNumber(fd)


class HoldsPath:
    """The part of a port that has the file of its socket, from bind() on, and removes it at the end."""

    _bound: BoundPath | None = None

    def _forked(self) -> list[int]:
        """See loops.forks."""
        return [] if self._bound is None else self._bound.forked()

    def _released(self) -> None:
        """See ListeningPort."""
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.release()
