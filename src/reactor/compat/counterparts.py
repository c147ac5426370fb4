"""The table of Twisted's modules, each with its counterpart or with what to do. docs/porting.md shows it.

The port command and the import hook read it. `MODULES` has a row for every module that has a counterpart, and `ADVICE`
one for every other module that public programs use.
"""

from __future__ import annotations

from typing import NamedTuple


class Counterpart(NamedTuple):
    """Where a module's names are: `module` stands for the module itself.

    `names` are modules that an import of names is written with if they have all of them; `module` comes last. `taken`
    says whether install() puts `module` in the place of Twisted's.
    """

    module: str
    names: tuple[str, ...] = ()
    taken: bool = True


MODULES: dict[str, Counterpart] = {
    "twisted.internet.reactor": Counterpart("reactor"),
    "twisted.internet.defer": Counterpart("reactor.defer"),
    "twisted.internet.protocol": Counterpart("reactor.protocol"),
    "twisted.internet.error": Counterpart("reactor.error"),
    "twisted.internet.address": Counterpart("reactor.address"),
    "twisted.internet.task": Counterpart("reactor.task"),
    "twisted.internet.threads": Counterpart("reactor.threads"),
    "twisted.internet.endpoints": Counterpart("reactor.endpoints"),
    "twisted.internet.stdio": Counterpart("reactor.stdio"),
    "twisted.internet.utils": Counterpart("reactor.utils"),
    "twisted.internet.interfaces": Counterpart("reactor.interfaces", taken=False),
    "twisted.internet.testing": Counterpart("reactor.testing"),
    "twisted.internet.ssl": Counterpart("reactor.compat.ssl"),
    "twisted.internet.main": Counterpart("reactor.compat.main"),
    "twisted.internet.base": Counterpart("reactor.compat.base", taken=False),
    "twisted.internet.abstract": Counterpart("reactor.compat.abstract", ("reactor.address",), taken=False),
    "twisted.internet.tcp": Counterpart("reactor.compat.tcp"),
    "twisted.internet.udp": Counterpart("reactor.compat.udp"),
    "twisted.internet.unix": Counterpart("reactor.compat.unix"),
    "twisted.internet.inotify": Counterpart("reactor.compat.inotify"),
    "twisted.internet.epollreactor": Counterpart("reactor.compat.epollreactor"),
    "twisted.internet.pollreactor": Counterpart("reactor.compat.epollreactor"),
    "twisted.internet.selectreactor": Counterpart("reactor.compat.epollreactor"),
    "twisted.internet.asyncioreactor": Counterpart("reactor.compat.asyncioreactor"),
    "twisted.protocols.basic": Counterpart("reactor.compat.basic", ("reactor",)),
    "twisted.protocols.policies": Counterpart("reactor.policies"),
    "twisted.protocols.haproxy": Counterpart("reactor.haproxy"),
    "twisted.protocols.loopback": Counterpart("reactor.testing", taken=False),
    "twisted.test.iosim": Counterpart("reactor.testing"),
    "twisted.test.proto_helpers": Counterpart("reactor.testing"),
    "twisted.python.failure": Counterpart("reactor.failure"),
    "twisted.python.log": Counterpart("reactor.compat.log", taken=False),
    "twisted.python.usage": Counterpart("reactor.compat.usage", taken=False),
    "twisted.python.context": Counterpart("reactor.compat.context", taken=False),
    "twisted.python.components": Counterpart("reactor.compat.components", taken=False),
    "twisted.python.compat": Counterpart("reactor.compat.pycompat", taken=False),
    "twisted.python.procutils": Counterpart("reactor.compat.procutils", taken=False),
    "twisted.python.reflect": Counterpart("reactor.compat.reflect", taken=False),
    "twisted.python.runtime": Counterpart("reactor.compat.runtime", taken=False),
    "twisted.python.util": Counterpart("reactor.compat.util", taken=False),
    "twisted.logger": Counterpart("reactor.compat.logger", taken=False),
    "twisted.enterprise.adbapi": Counterpart("reactor.compat.adbapi"),
    "twisted.application.service": Counterpart("reactor.service"),
    "twisted.application.internet": Counterpart("reactor.service.internet", ("reactor.service",)),
    "twisted.application.strports": Counterpart("reactor.service.strports"),
    "twisted.trial.unittest": Counterpart("reactor.compat.unittest"),
    "twisted.web.http": Counterpart("reactor.http", taken=False),
    "twisted.web.http_headers": Counterpart("reactor.http", taken=False),
}

# A name of a module above that means something else here: what to write.
NAMES: dict[str, str] = {
    "twisted.internet.ssl.VerificationError": "ssl.SSLCertVerificationError, of the standard library",
    "twisted.application.service.IServiceMaker": "call makeService in a .tac file; plugins are not found",
    "twisted.application.service.ServiceMaker": "call makeService in a .tac file; plugins are not found",
}

_HOOK = "keep Twisted's, and call reactor.compat.install() first"

ADVICE: dict[str, str] = {
    "twisted.conch": "keep Twisted's SSH, and call reactor.compat.install() first; asyncssh is an alternative",
    "twisted.cred": _HOOK,
    "twisted.mail": _HOOK,
    "twisted.names": _HOOK,
    "twisted.pair": "raw sockets: none",
    "twisted.persisted": _HOOK,
    "twisted.plugin": "importlib.metadata.entry_points",
    "twisted.plugins": "importlib.metadata.entry_points",
    "twisted.positioning": _HOOK,
    "twisted.protocols": _HOOK,
    "twisted.runner": "a supervisor such as systemd",
    "twisted.scripts": "linereactor serve",
    "twisted.spread": "Perspective Broker: " + _HOOK,
    "twisted.tap": "a .tac file, and linereactor serve --service",
    "twisted.test": "tests.support of your own, or reactor.testing",
    "twisted.trial": "pytest or unittest, with reactor.compat.unittest",
    "twisted.web": "reactor.http has requests, handlers, files and a client; there is no Site or Agent",
    "twisted.web.client": "reactor.http.Client, whose request() returns a Deferred of a response",
    "twisted.web.resource": "a handler of reactor.http looks at request.path",
    "twisted.web.server": "reactor.http.HTTPFactory with a handler, or a Request with process()",
    "twisted.web.static": "reactor.http.FilesHandler",
    "twisted.web.xmlrpc": "a handler of reactor.http, with xmlrpc.client of the standard library",
    "twisted.words": _HOOK,
    "twisted.application": "reactor.service; plugins and twistd are not there",
    "twisted.application.app": "linereactor serve --service",
    "twisted.application.reactors": "reactor.install(reactor.EpollReactor())",
    "twisted.enterprise": "reactor.compat.adbapi",
    "twisted.internet": "see the table of docs/porting.md",
    "twisted.internet.cfreactor": "none: there is no reactor on Core Foundation",
    "twisted.internet.default": "reactor.EpollReactor",
    "twisted.internet.fdesc": "os.set_blocking, os.set_inheritable",
    "twisted.internet.gireactor": "none: there is no reactor on GLib",
    "twisted.internet.glib2reactor": "none: there is no reactor on GLib",
    "twisted.internet.gtk2reactor": "none: there is no reactor on GTK",
    "twisted.internet.gtk3reactor": "none: there is no reactor on GTK",
    "twisted.internet.iocpreactor": "reactor.AsyncioReactor",
    "twisted.internet.kqreactor": "reactor.AsyncioReactor",
    "twisted.internet.posixbase": "reactor.ReactorBase",
    "twisted.internet.process": "reactor.spawnProcess; for isinstance() ask IProcessTransport",
    "twisted.internet.serialport": "os.open and tty.setraw, with addReader and addWriter",
    "twisted.internet.tksupport": "none: call the toolkit's update in a LoopingCall",
    "twisted.internet.wxreactor": "none: run the reactor in a thread, with callFromThread",
    "twisted.internet.wxsupport": "none: run the reactor in a thread, with callFromThread",
    "twisted.internet._threadedselect": "none: run the reactor in a thread, with callFromThread",
    "twisted.internet.win32eventreactor": "reactor.AsyncioReactor",
    "twisted.python": "see the table of docs/porting.md",
    "twisted.python.constants": "enum",
    "twisted.python.deprecate": "warnings.deprecated",
    "twisted.python.filepath": "pathlib",
    "twisted.python.formmethod": "none",
    "twisted.python.lockfile": "reactor.defer.DeferredFilesystemLock, or fcntl.flock",
    "twisted.python.logfile": "logging.handlers",
    "twisted.python.modules": "importlib.resources, pkgutil",
    "twisted.python.monkey": "unittest.mock.patch",
    "twisted.python.randbytes": "secrets.token_bytes",
    "twisted.python.rebuild": "importlib.reload",
    "twisted.python.sendmsg": "socket.sendmsg, socket.recvmsg",
    "twisted.python.syslog": "logging.handlers.SysLogHandler",
    "twisted.python.systemd": "reactor.endpoints: systemd:...",
    "twisted.python.text": "textwrap",
    "twisted.python.threadable": "none is needed",
    "twisted.python.threadpool": "reactor.getThreadPool, or concurrent.futures",
    "twisted.python.url": "hyperlink, or urllib.parse",
    "twisted.python.urlpath": "urllib.parse",
    "twisted.python.versions": "incremental",
    "twisted.python.win32": "none",
    "twisted.python.zippath": "zipfile.Path",
    "twisted.version": "none",
    "twisted": "see the table of docs/porting.md",
}


def adviceFor(name: str) -> str:
    """Return what to do about a dotted name of Twisted's that has no counterpart."""
    if name in NAMES:
        return NAMES[name]
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = ".".join(parts[:count])
        if path in ADVICE:
            return ADVICE[path]
        if path in MODULES and count < len(parts):
            return f"{MODULES[path].module} has no {'.'.join(parts[count:])}"
    return ADVICE["twisted"]
