"""The places that a load can drive: TCP, TLS over TCP, UNIX sockets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from reactor._later import later
from reactor._logger import quoted
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.values import WrongValue, splitPlace, where
from reactor.tlsoptions import optionsForClientTLS

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

TLS_PREFIX, UNIX_PREFIX = "tls://", "unix:"


class Target(NamedTuple):
    """A server on TCP."""

    host: str
    port: int

    def __str__(self) -> str:
        return where(self.host, self.port)


class TLSTarget(NamedTuple):
    """A server on TCP with TLS from the first byte."""

    host: str
    port: int

    def __str__(self) -> str:
        return TLS_PREFIX + where(self.host, self.port)


class UNIXTarget(NamedTuple):
    """A server on a UNIX socket."""

    path: str

    def __str__(self) -> str:
        return UNIX_PREFIX + self.path


AnyTarget = Target | TLSTarget | UNIXTarget


def target(text: str) -> AnyTarget:
    """Convert HOST:PORT, [IPv6]:PORT, tls://HOST:PORT or unix:PATH."""
    if text.startswith(UNIX_PREFIX):
        path = text.removeprefix(UNIX_PREFIX)
        if not path:
            raise WrongValue(f"must be unix:PATH, not {quoted(text)}")
        return UNIXTarget(path)
    if text.startswith(TLS_PREFIX):
        return TLSTarget(*splitPlace(text.removeprefix(TLS_PREFIX), 1))
    return Target(*splitPlace(text, 1))


class Dialler:
    """Connects to `target`. CommandError for options of TLS that do not fit, or a file that cannot be used.

    `ca` is a file of certificates to trust in place of the system's. `insecure` means that no certificate is verified.
    """

    def __init__(self, reactor: Any, target: AnyTarget, ca: str | None = None, insecure: bool = False) -> None:
        self._reactor = reactor
        self._target = target
        self._contexts: Any = None
        if isinstance(target, TLSTarget):
            self._contexts = _contexts(target.host, ca, insecure)
        elif ca is not None or insecure:
            raise CommandError(f"--{'insecure' if insecure else 'ca'} is for a target tls://HOST:PORT", USAGE)

    def connect(self, factory: Any, timeout: float) -> None:
        """Begin a connection for `factory`, which may take `timeout` seconds."""
        target, reactor = self._target, self._reactor
        if isinstance(target, UNIXTarget):
            reactor.connectUNIX(target.path, factory, timeout=timeout)
        elif self._contexts is None:
            reactor.connectTCP(target.host, target.port, factory, timeout=timeout)
        else:
            reactor.connectSSL(target.host, target.port, factory, self._contexts, timeout=timeout)


def _contexts(host: str, ca: str | None, insecure: bool) -> Any:
    if insecure:
        if ca is not None:
            raise CommandError("--ca and --insecure exclude each other", USAGE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return optionsForClientTLS(host, ca)
    except (OSError, ValueError) as error:
        raise CommandError(f"--ca: {reasonOf(error)}: {os.fsdecode(ca or '')}", USAGE) from None
