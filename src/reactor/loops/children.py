"""spawnProcess: the part of a reactor that starts child processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reactor._arguments import checkProtocol
from reactor._later import later
from reactor.interfaces import NO_ENVIRONMENT, Environment, IProcessProtocol, ITransportReactor, Text

if TYPE_CHECKING:
    from reactor.transports.children import command, process
else:
    command = later("reactor.transports.children.command", globals(), withReactor=True)
    process = later("reactor.transports.children.process", globals(), withReactor=True)


def _checkText(value: object, what: str) -> None:
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{what}, not {value!r}")


class ProcessServices:
    """For a class that is an ITransportReactor. Every method is for the thread that runs the reactor."""

    def spawnProcess(
        self: ITransportReactor,
        processProtocol: IProcessProtocol,
        executable: Text,
        args: Sequence[Text] = (),
        env: Environment | None = NO_ENVIRONMENT,
        path: Text | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool | tuple[int, int, Any] = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> process.Process:
        """Run `executable` as a child process, and return the transport of `processProtocol`.

        - `executable` is a path, or a name to search along PATH of `env`.
        - `args` are all its arguments; the first is its own name ((): `executable`).
        - `env` is its whole environment, {} an empty one; None means this process's.
        - It runs in the directory `path`, as `uid` and `gid` with the groups of that user; None means the same as here.

        `childFDs` maps each descriptor of the child to "r" (a pipe that this process reads) or "w" (a pipe that it
        writes to). A number is a descriptor of this process that the child shares. The default is {0: "w", 1: "r", 2:
        "r"}. All others are closed in the child, except that 0 to 2 are /dev/null then. With `usePTY` these three are a
        terminal instead: a new one, or that of the tuple (our descriptor, the child's, name).

        OSError if the child cannot be started. ValueError for both `usePTY` and `childFDs`. TypeError if `args` are one
        string, or if they or `env` hold an object that is no string.

        stop() closes the pipes and leaves the child alive.
        """
        checkProtocol(processProtocol)
        if isinstance(args, str | bytes):
            raise TypeError(f"args are a list of strings, of which the first is the child's own name, not {args!r}")
        args = list(args)
        for each in args:
            _checkText(each, "args are strings")
        if env is not None:
            if not isinstance(env, Mapping):
                raise TypeError(f"env is a mapping of strings, not {env!r}")
            for name, value in env.items():
                _checkText(name, "the names in env are strings")
                _checkText(value, f"the values in env are strings, also that of {name!r}")
        order = command.Command(executable, args, env, path, uid, gid)
        child: process.Process
        if not usePTY:
            child = process.Process(self, processProtocol, order, childFDs)
        elif childFDs is not None:
            raise ValueError("usePTY and childFDs exclude each other: with a terminal there are no pipes")
        else:
            child = process.PTYProcess(self, processProtocol, order, usePTY if isinstance(usePTY, tuple) else None)
        child.start()
        return child
