"""An FTP server for the files of one folder, in passive mode (RFC 959, RFC 2428, RFC 3659).

A name and a password are asked for, and each of them is taken: put your own check into `isKnown`. The data connection
comes from the client's own address, or is refused.

python examples/ftpserver.py FOLDER [PORT]
"""

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import reactor
from reactor import Deferred, Factory, Failure, FileSender, LineReceiver, Protocol, TimeoutMixin
from reactor.error import ConnectionDone

MOST_CONNECTIONS = 50
IDLE_SECONDS = 300
DATA_SECONDS = 30  # until the data connection comes, and between two pieces of data
LARGEST_FILE = 100 * 1024 * 1024  # bytes
LONGEST_LINE = 1024  # bytes
MOST_NAMES = 10_000  # of one listing
MOST_TRIES = 3  # of a password

GOOD_NAME = re.compile(r"[^\0/\r\n]{1,255}")


def isKnown(user: str, password: str) -> bool:
    return bool(user and password)


class Refused(Exception):
    """The answer to a command that cannot be done."""


class Tree:
    """The files below a folder. No link leads out of it: each part of a path is opened without following any."""

    def __init__(self, folder: str) -> None:
        self.root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def open(self, parts: list[str], flags: int) -> int:
        """Open a file or folder. Refused if the system refuses, or a part is a link."""
        at = os.dup(self.root)
        try:
            for part in parts[:-1]:
                at, before = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at), at
                os.close(before)
            if not parts:
                return os.dup(at)
            return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=at)
        except OSError as error:
            raise Refused(f"550 {error.strerror}.") from None
        finally:
            os.close(at)

    def file(self, parts: list[str], mode: str) -> BinaryIO:
        flags = {"rb": os.O_RDONLY, "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}[mode]
        fd = self.open(parts, flags)
        if not parts or not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused("550 Not a file.")
        return open(fd, mode)  # type: ignore[return-value]

    def within(self, parts: list[str], call: Callable[[str, int], Any]) -> None:
        """Call `call(name, folder)` for the last part of a path, in the open folder of the others."""
        if not parts:
            raise Refused("550 Not the root.")
        fd = self.open(parts[:-1], os.O_RDONLY | os.O_DIRECTORY)
        try:
            call(parts[-1], fd)
        except OSError as error:
            raise Refused(f"550 {error.strerror}.") from None
        finally:
            os.close(fd)

    def names(self, parts: list[str]) -> list[str]:
        """The names in a folder, or the name of a file."""
        fd = self.open(parts, os.O_RDONLY)
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                return parts[-1:]
            return sorted(name for name in os.listdir(fd)[:MOST_NAMES] if GOOD_NAME.fullmatch(name))
        finally:
            os.close(fd)

    def row(self, parts: list[str], name: str) -> str:
        """A row of a long listing, in the form of ls."""
        found: list[os.stat_result] = []
        self.within([*parts, name], lambda last, fd: found.append(os.stat(last, dir_fd=fd, follow_symlinks=False)))
        when = time.strftime("%b %d  %Y", time.gmtime(found[0].st_mtime))
        return f"{stat.filemode(found[0].st_mode)} 1 ftp ftp {found[0].st_size:>12} {when} {name}"


class Data(Protocol, TimeoutMixin):
    """A data connection. It sends `text` or `file`, or stores what comes in `file`."""

    def __init__(self, done: Deferred[None]) -> None:
        self.done = done
        self.file: BinaryIO | None = None
        self.stores = self.isWhole = False
        self.left = LARGEST_FILE

    def connectionMade(self) -> None:
        self.setTimeout(DATA_SECONDS)
        self.transport.pauseProducing()

    def send(self, text: bytes, file: BinaryIO | None) -> None:
        self.file, self.isWhole = file, file is None
        if file is None:
            self.transport.write(text)
            self.transport.loseConnection()
            return
        FileSender().beginFileTransfer(self, self.transport).addCallbacks(self.sent, lambda _: None)

    def read(self, size: int) -> bytes:
        """Read more of the file: the client has taken what was before it."""
        assert self.file is not None
        self.resetTimeout()
        return self.file.read(size)

    def sent(self, _: Any) -> None:
        self.isWhole = True
        self.transport.loseConnection()

    def store(self, file: BinaryIO) -> None:
        self.file, self.stores = file, True
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        self.left -= len(data)
        if self.left < 0 or self.file is None:
            self.transport.abortConnection()
        else:
            self.file.write(data)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.setTimeout(None)
        if self.file is not None:
            self.file.close()
        if self.isWhole or (self.stores and reason.check(ConnectionDone)):
            self.done.callback(None)
        else:
            self.done.errback(reason)


class Passive(Factory):
    """Takes one connection from `host`."""

    noisy = False

    def __init__(self, host: str) -> None:
        self.host = host
        self.came: Deferred[Data] = Deferred()
        self.done: Deferred[None] = Deferred()
        self.isTaken = False

    def buildProtocol(self, addr: Any) -> Any:
        if addr.host != self.host or self.isTaken:
            return None
        self.isTaken = True
        data = Data(self.done)
        reactor.callLater(0, self.came.callback, data)
        return data


class Session(LineReceiver, TimeoutMixin):
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.user = ""
        self.isIn = self.isBusy = False
        self.tries = 0
        self.folder: list[str] = []
        self.renamed: list[str] | None = None
        self.passive: Any = None
        self.port: Any = None
        self.data: Data | None = None
        self.setTimeout(IDLE_SECONDS)
        self.answer("220 Ready.")

    def answer(self, text: str) -> None:
        self.sendLine(text.encode(errors="surrogateescape") + b"\r")

    def lineLengthExceeded(self, line: bytes) -> None:
        self.answer("500 Line too long.")
        self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        word, _, argument = line.rstrip(b"\r").decode(errors="surrogateescape").partition(" ")
        do = getattr(self, f"do{word.upper()}", None) if re.fullmatch("[A-Za-z]{3,4}", word) else None
        try:
            if do is None:
                raise Refused("502 Not implemented.")
            if not self.isIn and word.upper() not in ("USER", "PASS", "QUIT", "FEAT", "SYST", "NOOP"):
                raise Refused("530 Log in first.")
            do(argument)
        except Refused as refused:
            self.answer(str(refused))

    def pathOf(self, argument: str) -> list[str]:
        parts = [] if argument.startswith("/") else [*self.folder]
        for part in argument.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                if not GOOD_NAME.fullmatch(part):
                    raise Refused("553 Not a name.")
                parts.append(part)
        return parts

    # The login, the folder, and the form of data.

    def doUSER(self, argument: str) -> None:
        self.user, self.isIn = argument, False
        self.answer("331 Password, please.")

    def doPASS(self, argument: str) -> None:
        self.isIn = isKnown(self.user, argument)
        self.tries += not self.isIn
        self.answer("230 Logged in." if self.isIn else "530 Not known.")
        if self.tries >= MOST_TRIES:
            self.transport.loseConnection()

    def doQUIT(self, argument: str) -> None:
        self.answer("221 Goodbye.")
        self.transport.loseConnection()

    def doNOOP(self, argument: str) -> None:
        self.answer("200 Fine.")

    def doSYST(self, argument: str) -> None:
        self.answer("215 UNIX")

    def doFEAT(self, argument: str) -> None:
        self.answer("211-Features:\r\n EPSV\r\n SIZE\r\n UTF8\r\n211 End.")

    def doTYPE(self, argument: str) -> None:
        if argument.upper() not in ("I", "A", "A N", "L 8"):
            raise Refused("504 Only binary, and names as text.")
        self.answer("200 Bytes stay as they are.")

    def doPWD(self, argument: str) -> None:
        self.answer('257 "/{}"'.format("/".join(self.folder).replace('"', '""')))

    def doCWD(self, argument: str) -> None:
        parts = self.pathOf(argument)
        os.close(self.factory.tree.open(parts, os.O_RDONLY | os.O_DIRECTORY))
        self.folder = parts
        self.answer("250 There.")

    def doCDUP(self, argument: str) -> None:
        self.doCWD("..")

    # Files.

    def doSIZE(self, argument: str) -> None:
        with self.factory.tree.file(self.pathOf(argument), "rb") as file:
            self.answer(f"213 {os.fstat(file.fileno()).st_size}")

    def doDELE(self, argument: str) -> None:
        self.factory.tree.within(self.pathOf(argument), lambda name, fd: os.unlink(name, dir_fd=fd))
        self.answer("250 Deleted.")

    def doMKD(self, argument: str) -> None:
        parts = self.pathOf(argument)
        self.factory.tree.within(parts, lambda name, fd: os.mkdir(name, 0o755, dir_fd=fd))
        self.answer('257 "/{}"'.format("/".join(parts).replace('"', '""')))

    def doRMD(self, argument: str) -> None:
        self.factory.tree.within(self.pathOf(argument), lambda name, fd: os.rmdir(name, dir_fd=fd))
        self.answer("250 Removed.")

    # The data connection.

    def doPASV(self, argument: str) -> None:
        host = self.listen()
        if ":" in host:
            raise Refused("425 Use EPSV.")
        high, low = divmod(self.port.getHost().port, 256)
        self.answer(f"227 Entering Passive Mode ({host.replace('.', ',')},{high},{low})")

    def doEPSV(self, argument: str) -> None:
        self.listen()
        self.answer(f"229 Entering Extended Passive Mode (|||{self.port.getHost().port}|)")

    def listen(self) -> str:
        if self.isBusy:
            raise Refused("425 One transfer at a time.")
        self.forget()
        host: str = self.transport.getHost().host
        self.passive = Passive(self.transport.getPeer().host)
        self.port = reactor.listenTCP(0, self.passive, backlog=1, interface=host)
        return host

    def forget(self) -> None:
        """Listen for no data connection any more."""
        port, passive = self.port, self.passive
        self.port = self.passive = None
        if port is not None:
            port.stopListening()
            passive.done.addErrback(lambda _: None)  # of a data connection without a transfer

    def doLIST(self, argument: str) -> None:
        parts = self.pathOf("" if argument.startswith("-") else argument)
        tree = self.factory.tree
        names = tree.names(parts)
        folder = parts[:-1] if names == parts[-1:] else parts
        rows = [tree.row(folder, name) for name in names]
        self.transfer(lambda data: data.send(self.lines(rows), None))

    def doNLST(self, argument: str) -> None:
        names = self.factory.tree.names(self.pathOf("" if argument.startswith("-") else argument))
        self.transfer(lambda data: data.send(self.lines(names), None))

    def lines(self, rows: list[str]) -> bytes:
        return "".join(f"{row}\r\n" for row in rows).encode(errors="surrogateescape")

    def doRETR(self, argument: str) -> None:
        file = self.factory.tree.file(self.pathOf(argument), "rb")
        self.transfer(lambda data: data.send(b"", file), file)

    def doSTOR(self, argument: str) -> None:
        if self.passive is None or self.isBusy:  # an old file stays whole
            raise Refused("425 PASV or EPSV first.")
        file = self.factory.tree.file(self.pathOf(argument), "wb")
        self.transfer(lambda data: data.store(file), file)

    def transfer(self, begin: Callable[[Data], None], file: BinaryIO | None = None) -> None:
        passive = self.passive
        if passive is None or self.isBusy:
            if file is not None:
                file.close()
            raise Refused("425 PASV or EPSV first.")
        self.isBusy = True
        self.setTimeout(None)
        self.answer("150 Here it comes.")
        passive.came.addTimeout(DATA_SECONDS, reactor)
        passive.came.addCallback(self.begin, begin).addErrback(self.noData, passive, file)
        passive.done.addCallbacks(lambda _: "226 Done.", lambda _: "426 Broken off.").addCallback(self.over)

    def begin(self, data: Data, begin: Callable[[Data], None]) -> None:
        self.data = data
        begin(data)

    def noData(self, failure: Failure, passive: Passive, file: BinaryIO | None) -> None:
        if file is not None:
            file.close()
        if not passive.done.called:
            passive.done.errback(failure)

    def over(self, text: str) -> None:
        self.isBusy, self.data = False, None
        self.forget()
        if self.connected:
            self.answer(text)
            self.setTimeout(IDLE_SECONDS)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)
        self.forget()
        if self.data is not None:
            self.data.transport.abortConnection()

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()


class Sessions(Factory):
    protocol = Session
    connections = 0

    def __init__(self, folder: str) -> None:
        self.tree = Tree(folder)

    def buildProtocol(self, addr: Any) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


if __name__ == "__main__":
    sessions = Sessions(sys.argv[1])
    port = reactor.listenTCP(int(sys.argv[2]) if sys.argv[2:] else 0, sessions, interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
