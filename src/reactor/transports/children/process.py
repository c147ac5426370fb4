"""Child processes: their pipes or terminal, their end, and the calls to their protocol.

The kernel reports a child's exit: a pidfd becomes readable (Linux 5.3). The loop watches it like any descriptor, in any
thread and on any loop. Without a pidfd, and after the reactor has stopped, a thread waits for the child, so no zombie
stays. Without a thread, a timer asks. SIGCHLD has no part in it: signals reach the main thread only, and the handler
for it is the program's own.

All steps that can fail come before the child. Its pipes are made and watched before it starts, so a spawnProcess that
raises has started nothing.

This waits only for the child that it started, and no longer uses its number afterwards.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from io import FileIO
from time import sleep
from typing import Any, NoReturn

from reactor._beside import beside
from reactor._logger import getLogger
from reactor._numbers import closeNumber, openPipe, openTerminal, raised, statOpen
from reactor.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from reactor.failure import Failure, failureOf
from reactor.interfaces import BytesLike, IProcessProtocol, ITransportReactor
from reactor.interfaces.asking import conform
from reactor.threads import WAKE_REST, callWhenWoken, startThread
from reactor.transports.children import spawning
from reactor.transports.children.command import Command
from reactor.transports.children.pipes import ChildReader, ChildTerminal, ChildWriter

log = getLogger("reactor.transports")

WAIT_REST = 0.1  # seconds between two questions for a child without pidfd and thread

STANDARD: Mapping[int, int | str] = {0: "w", 1: "r", 2: "r"}


class ExitWatch:
    """Waits for the child `pid`; calls `exited` once with its wait status and the exception for it.

    The status is None if other code has waited for the child.
    """

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: ITransportReactor, pid: int, exited: Callable[[int | None, Failure], None]) -> None:
        self._reactor = reactor
        self._pid = pid
        self._exited = exited
        self._file: FileIO | None = None
        self._found = False  # the child has ended, and its status is known
        self._status: int | None = None

    def start(self) -> None:
        """Begin to watch."""
        try:
            self._file = _fileOf(raised(os.pidfd_open(self._pid)))
            self._reactor.addReader(self)
            self._reactor.opened(self)
        except (AttributeError, OSError):  # no such call, or no descriptor left
            self._waitElsewhere()
        except BaseException:
            self._stopWatching()
            raise

    def fileno(self) -> int:
        """Return the pidfd, -1 if there is none."""
        return -1 if self._file is None else self._file.fileno()

    def doRead(self) -> None:
        """Take the status: the kernel says that the child has exited, and waitpid tells the truth.

        It tells it once. The status is kept until there is memory to pass it on, and the pidfd stays readable until
        then.
        """
        if self._ask():
            outcome = outcomeOf(self._status)
            try:
                self._stopWatching()
                self._exited(self._status, outcome)
            except BaseException:  # a signal's handler has raised; steps that are done do nothing again
                self._stopWatching()
                self._exited(self._status, outcome)
                raise

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, with the child alive. If the reactor runs again, the exit is still reported."""
        self._waitElsewhere()

    def failConnection(self, failure: Failure) -> None:
        """doRead has failed, for lack of memory, and will be called again."""
        self._reactor.reportFailure(failure, "waiting for a child")

    def _stopWatching(self) -> None:
        file = self._file
        if file is not None:
            self._reactor.removeReader(self)
            self._reactor.closed(self)
            self._reactor.closeSoon(file)
            self._file = None

    def _waitElsewhere(self) -> None:
        self._stopWatching()
        try:
            startThread(self._wait, self._stillborn)
        except (RuntimeError, MemoryError):  # no thread is left
            self._reactor.callLater(WAIT_REST, self._askAgain)

    def _ask(self, options: int = os.WNOHANG) -> bool:
        """Whether the child has ended."""
        if not self._found:
            pid, self._status = waitFor(self._pid, options)
            self._found = pid != 0
        return self._found

    def _askAgain(self) -> None:
        if self._ask():
            self._exited(self._status, outcomeOf(self._status))
        else:
            self.start()

    def _wait(self) -> None:
        """Wait for the child, in a thread, which also waits for memory."""
        while True:
            try:
                self._ask(0)
                callWhenWoken(self._reactor, self._exited, self._status, outcomeOf(self._status))
                return
            except MemoryError:
                sleep(WAKE_REST)
            except OSError:  # the reactor has been closed, so no one needs the status
                return

    def _stillborn(self) -> None:
        """Called in a thread that had no memory to begin."""
        while True:
            try:
                callWhenWoken(self._reactor, self._waitElsewhere)
                return
            except MemoryError:
                sleep(WAKE_REST)
            except OSError:
                return


def _fileOf(fd: int) -> FileIO:
    try:
        return FileIO(fd, "rb")
    except BaseException:
        closeNumber(fd)
        raise


def waitFor(pid: int, options: int = 0) -> tuple[int, int | None]:
    """Call os.waitpid for our child `pid`; the status is None if other code has waited for it already."""
    try:
        return os.waitpid(pid, options)
    except ChildProcessError:
        return pid, None


class Process:
    """The transport of a ProcessProtocol: a child process with pipes. reactor.spawnProcess makes it.

    `pid` is the child's number, None once it has exited. `status` then is the result of wait() (before: -1). `childFDs`
    is that of spawnProcess. Methods for a descriptor without a pipe, or with a closed one, do nothing, except
    writeToChild.
    """

    __conform__ = conform

    _isReactorsOwn = True  # see loops.guests

    def __init__(
        self,
        reactor: ITransportReactor,
        protocol: IProcessProtocol,
        command: Command,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> None:
        self.reactor = reactor
        self.pid: int | None = None
        self.status = -1
        self.disconnecting = False
        self._protocol: Any = protocol
        self._command = command
        self._childFDs = checked(STANDARD if childFDs is None else childFDs)
        self._pipes: dict[int, ChildReader | ChildWriter] = {}
        self._outcome: Failure | None = None
        self._endTold = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._command.executable!r} pid={self.pid} status={self.status}>"

    def start(self) -> None:
        """Start the child, then call the protocol. OSError if the child cannot be started; nothing is left then."""
        theirs: list[int] = []
        descriptors = {number: kind for number, kind in self._childFDs.items() if isinstance(kind, int)}
        try:
            for number, kind in self._childFDs.items():
                if kind in ("r", "w"):
                    descriptors[number] = self._openPipe(number, theirs)
            self._spawn(descriptors)
        except BaseException:
            self._abandonPipes()
            raise
        finally:
            spawning.closeAll(theirs)
        self._tell("makeConnection of", self)

    def _abandonPipes(self) -> None:
        """Close the pipes: there is no child. Without memory to close one, try again, as no other code would."""
        while self._pipes:
            try:
                number = next(iter(self._pipes))
                self._pipes[number].abandon()
                del self._pipes[number]
            except MemoryError:
                sleep(spawning.END_REST)

    def _openPipe(self, number: int, theirs: list[int]) -> int:
        """Watch our end of a new pipe. Return the child's, and add it to `theirs`, the descriptors to close."""
        reading, writing = openPipe()
        ours, other = (reading, writing) if self._childFDs[number] == "r" else (writing, reading)
        try:
            theirs.append(other)
        except BaseException:
            closeNumber(ours)
            closeNumber(other)
            raise
        try:
            pipe = self._makePipe(number, ours)
        except BaseException:
            closeNumber(ours)
            raise
        self._pipes[number] = pipe
        pipe.start()
        return other

    def _spawn(self, descriptors: Mapping[int, int], terminal: bool = False) -> None:
        """Start the child, and wait for it in the background."""
        pid = spawning.spawn(self._command, descriptors, terminal)
        try:
            ExitWatch(self.reactor, pid, self._exited).start()
        except BaseException:
            spawning.endChild(pid)
            raise
        self.pid = pid

    def _makePipe(self, number: int, fd: int) -> ChildReader | ChildWriter:
        def received(data: bytes) -> object:
            return self._protocol.childDataReceived(number, data)

        def ended() -> None:
            self._pipeEnded(number)

        if self._childFDs[number] == "r":
            return ChildReader(self.reactor, fd, received, ended)
        return ChildWriter(self.reactor, fd, ended, child=self)

    def _pipeEnded(self, number: int) -> None:
        if number in self._pipes:
            self._tell("childConnectionLost of", number)
        self._maybeEnded()

    def _isOpen(self) -> bool:
        """Whether more data may come from the child's descriptors."""
        return bool(self._pipes)

    def _exited(self, status: int | None, outcome: Failure) -> None:
        """Handle the exit. A second call goes on where a signal's handler has interrupted the first."""
        self.pid = None
        if status is not None:
            self.status = status
        elif self._outcome is None:
            with suppress(MemoryError):
                log.warning("%r: somebody else has waited for it, so how it ended is not known", self)
        if self._outcome is None:
            self._tell("processExited of", outcome)
        self._maybeEnded()

    def _maybeEnded(self) -> None:
        """Call processEnded, once the child has exited and all its descriptors are closed."""
        if self._outcome is not None and not self._isOpen():
            if not self._endTold:
                self._tell("processEnded of", self._outcome)
            self._protocol = None  # breaks the cycle with protocol.transport, which stays

    def _tell(self, what: str, argument: Any) -> None:
        """Call a method of the protocol. An exception is logged, and the child goes on."""
        protocol = self._protocol
        try:
            # Called by name: a bound method to pass on is an object, for which there may be no memory. Each call is
            # noted before it is made, so it is made once.
            if what == "processEnded of":
                self._endTold = True
                told = protocol.processEnded(argument)
            elif what == "processExited of":
                self._outcome = argument
                told = protocol.processExited(argument)
            elif what == "childConnectionLost of":
                del self._pipes[argument]
                told = protocol.childConnectionLost(argument)
            else:
                told = protocol.makeConnection(argument)
            if told is not None:
                self._besideReported(told, what, protocol)
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), what, protocol)

    def _besideReported(self, told: object, what: str, protocol: object) -> None:
        """See DuplexStream._besideReported."""
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, protocol))

    # For protocols.

    def signalProcess(self, signalID: str | int) -> None:
        """Send the child a signal: its number, or its name with or without SIG.

        ProcessExitedAlready if the child has exited; ValueError if there is no such signal.
        """
        number = signalNumber(signalID)
        if self.pid is None:
            raise ProcessExitedAlready(_exitedAlready(self))
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            raise ProcessExitedAlready(_exitedAlready(self)) from None

    def writeToChild(self, childFD: int, data: BytesLike) -> None:
        """Send `data` to the child's descriptor `childFD`. KeyError if there is no open pipe to it."""
        pipe = self._pipes[childFD]
        if not isinstance(pipe, ChildWriter):
            raise KeyError(childFD)
        pipe.write(data)

    def closeChildFD(self, descriptor: int) -> None:
        """Close our end of the child's `descriptor`, after its output is sent. childConnectionLost follows."""
        if descriptor in self._pipes:
            self._pipes[descriptor].loseConnection()

    def closeStdin(self) -> None:
        """Call closeChildFD(0): the child sees the end of its input, behind all output."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Call closeChildFD(1): the child can no longer write to it, and its output is not read."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Call closeChildFD(2)."""
        self.closeChildFD(2)

    def loseConnection(self) -> None:
        """Close descriptors 0, 1 and 2. Most programs end then; signalProcess is for the others."""
        self.disconnecting = True
        self.closeStdin()
        self.closeStderr()
        self.closeStdout()

    def _stdin(self) -> ChildWriter | None:
        pipe = self._pipes.get(0)
        return pipe if isinstance(pipe, ChildWriter) else None

    def write(self, data: BytesLike) -> None:
        """Send `data` to the child's standard input. If that is closed, drop it."""
        stdin = self._stdin()
        if stdin is not None:
            stdin.write(data)

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Send the pieces of `seq` to the child's standard input, as one write."""
        self.write(b"".join(seq))

    @property
    def proto(self) -> Any:
        """The protocol, None after processEnded."""
        return self._protocol

    def getHost(self) -> NoReturn:
        """Raise NotImplementedError, as in Twisted: a child has no address. A ProcessEndpoint's transport has one."""
        raise NotImplementedError("a child process has no address")

    def getPeer(self) -> NoReturn:
        """See getHost."""
        raise NotImplementedError("a child process has no address")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach a producer for standard input. stopProducing() if that is closed; RuntimeError if there is one."""
        stdin = self._stdin()
        if stdin is None:
            beside(producer.stopProducing())
        else:
            stdin.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Detach the producer."""
        stdin = self._stdin()
        if stdin is not None:
            stdin.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read none of the child's output until resumeProducing: a full pipe holds the child up."""
        for pipe in self._pipes.values():
            if isinstance(pipe, ChildReader):
                pipe.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        for pipe in list(self._pipes.values()):
            if isinstance(pipe, ChildReader):
                pipe.resumeProducing()

    def stopProducing(self) -> None:
        """Call loseConnection(), under the name that a producer has."""
        self.loseConnection()


class PTYProcess(Process):
    """A child whose descriptors 0 to 2 are a terminal. All its output comes as from descriptor 1.

    There is one way in and out, so the methods for single descriptors do nothing, and childConnectionLost is not
    called. `terminal` is (our descriptor, the child's, name), which this object then owns; None means a new one.
    """

    _terminal: ChildTerminal

    def __init__(
        self,
        reactor: ITransportReactor,
        protocol: IProcessProtocol,
        command: Command,
        terminal: tuple[int, int, Any] | None = None,
    ) -> None:
        super().__init__(reactor, protocol, command, {})
        self._given = terminal

    def start(self) -> None:
        """See Process.start. If the child cannot be started, the caller keeps a given terminal."""
        ours, theirs = self._given[:2] if self._given else openTerminal()
        terminal = None
        try:
            terminal = ChildTerminal(self.reactor, ours, self._received, self._maybeEnded, child=self, lent=True)
            self._terminal = terminal
            terminal.start()
            self._spawn(dict.fromkeys(range(3), theirs), terminal=True)
        except BaseException:
            if terminal is not None:
                terminal.abandon()
            if not self._given:
                closeNumber(ours)
                closeNumber(theirs)
            raise
        terminal.keep()
        closeNumber(theirs)
        self._tell("makeConnection of", self)

    def fileno(self) -> int:
        """Return our descriptor of the terminal, the given one if there is one, as in Twisted; -1 once it is closed."""
        return self._terminal.fileno()

    def _received(self, data: bytes) -> object:
        return self._protocol.childDataReceived(1, data)

    def _isOpen(self) -> bool:
        return not self._terminal.disconnected

    def _stdin(self) -> ChildWriter:
        return self._terminal

    def writeToChild(self, childFD: int, data: BytesLike) -> None:
        """Raise NotImplementedError: write() is for a terminal."""
        raise NotImplementedError("a terminal has no single descriptors: use write()")

    def closeChildFD(self, descriptor: int) -> None:
        """Do nothing."""

    def loseConnection(self) -> None:
        """Close the terminal, after all output is sent. The kernel sends SIGHUP to the child."""
        self.disconnecting = True
        self._terminal.loseConnection()

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self._terminal.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self._terminal.resumeProducing()


def checked(childFDs: Mapping[int, int | str]) -> dict[int, int | str]:
    """Return a copy of `childFDs`. TypeError if it is no mapping.

    ValueError unless it maps numbers to "r", "w" or descriptors.
    """
    if not isinstance(childFDs, Mapping):
        raise TypeError(f'childFDs is a mapping, for example {{0: "w", 1: "r"}}, not {childFDs!r}')
    for number, kind in childFDs.items():
        if (
            not isinstance(number, int)
            or number < 0
            or not (kind in ("r", "w") or (isinstance(kind, int) and kind >= 0))
        ):
            raise ValueError(
                f'childFDs maps descriptors to "r", "w" or a descriptor of ours, not {number!r} to {kind!r}'
            )
        if isinstance(kind, int):
            statOpen(kind)
    return dict(childFDs)


def _exitedAlready(process: Process) -> str:
    return f"the child {process._command.executable!r} has exited"


def outcomeOf(status: int | None) -> Failure:
    """Return the exception for a wait status, also if the status is unknown."""
    return Failure(ProcessTerminated() if status is None else reasonOf(status))


def reasonOf(status: int) -> ProcessDone | ProcessTerminated:
    """Return the exception for a known wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return ProcessDone(status)
    return ProcessTerminated(code, None, status) if code > 0 else ProcessTerminated(None, -code, status)


def signalNumber(signalID: str | int) -> int:
    """Return the number of a signal from its number or name. ValueError if there is none."""
    if isinstance(signalID, int):
        return signalID
    try:
        return signal.Signals[f"SIG{signalID.removeprefix('SIG')}"]
    except KeyError:
        raise ValueError(f"there is no signal {signalID!r}") from None
