"""Contexts for TLS with good settings: each a `contextFactory` for listenSSL, connectSSL and startTLS.

A context factory is an `ssl.SSLContext`, or an object whose `getContext()` is called for each new connection. It may
have `hostname` (the name that a client verifies), `handshakeTimeout` and `closeTimeout` (seconds).

The settings: TLS 1.2 is the oldest version, and its suites have forward secrecy and authenticated encryption. There is
no renegotiation and no compression. A client verifies the certificate and the host's name, never the common name. A
server sends no session tickets of TLS 1.3: see withoutTickets.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from reactor._arguments import checkNames
from reactor._certificates import Path, loadChain, loadRevocations, loadTrust, loadTrustText
from reactor._later import later
from reactor._logger import getLogger
from reactor.interfaces import IContextFactory

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

log = getLogger("reactor.tls")

HANDSHAKE_TIMEOUT = 10.0
CLOSE_TIMEOUT = 10.0
RELOAD_INTERVAL = 1.0  # seconds between two checks of the files of a certificate

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

TrustRoot: TypeAlias = Path | bytes | None


ContextFactory: TypeAlias = "ssl.SSLContext | IContextFactory"


def contextOf(contextFactory: ContextFactory) -> ssl.SSLContext:
    """Return the context of `contextFactory`. It never renegotiates from now on (see RFC 5746 and TLS 1.3).

    TypeError if it is no context factory, or gives no context of the ssl module. An exception of getContext() passes
    through.
    """
    context = contextFactory if isinstance(contextFactory, ssl.SSLContext) else _askedFor(contextFactory)
    if not context.options & ssl.OP_NO_RENEGOTIATION:
        context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def checkContext(contextFactory: ContextFactory, isClient: bool) -> ContextFactory:
    """Return `contextFactory` after a check that it gives a fitting context; errors as for contextOf.

    ValueError if the context was made for the other side. listenSSL and connectSSL call this at once, as in Twisted. So
    a mistake is found where it is made, and not with the first connection.
    """
    ofSide(contextOf(contextFactory), isClient)
    return contextFactory


def ofSide(context: ssl.SSLContext, isClient: bool) -> ssl.SSLContext:
    """Return `context`. ValueError if it was made for the other side."""
    if context.protocol == (ssl.PROTOCOL_TLS_SERVER if isClient else ssl.PROTOCOL_TLS_CLIENT):
        side, name = ("client", "CLIENT") if isClient else ("server", "SERVER")
        raise ValueError(f"this context is for the other side: a {side} needs ssl.SSLContext(ssl.PROTOCOL_TLS_{name})")
    return context


def _askedFor(contextFactory: IContextFactory) -> ssl.SSLContext:
    """Ask a factory for its context. If it gives none, TypeError, which says what to give instead."""
    ask = None if isinstance(contextFactory, type) else getattr(contextFactory, "getContext", None)
    context: object = contextFactory if ask is None else ask()
    if isinstance(context, ssl.SSLContext):
        return context
    kind = context if isinstance(context, type) else type(context)
    if kind.__module__.partition(".")[0] in ("OpenSSL", "twisted"):
        found = f"{kind.__module__}.{kind.__qualname__} belongs to pyOpenSSL, and TLS here is the ssl module's"
    elif ask is not None:
        found = f"getContext() of {contextFactory!r} returned {context!r}, and no ssl.SSLContext"
    elif isinstance(context, type):
        found = f"{kind.__qualname__} is a class, and an object of it is needed"
    else:
        found = f"{context!r} is neither an ssl.SSLContext nor has it getContext()"
    raise TypeError(
        f"{found}: give reactor.CertificateOptions(certificate, privateKey) for a server, "
        "reactor.optionsForClientTLS(hostname) for a client, or an ssl.SSLContext"
    )


class CertificateOptions:
    """A certificate and its key, in PEM files, and the trusted authorities: for a server, or a client.

    - `certificate` is a path. Behind the certificate itself the file holds the chain, without the root.
    - `privateKey` is a path, or None if the key stands in the same file. `password` decrypts it.
    - With a `trustRoot` (see optionsForClientTLS), clients must show a certificate that leads to it. If
      `requireCertificate` is false, they need not. `revoked`, a path to a CRL, excludes some certificates.
    - `acceptableProtocols` are the ALPN names in order of preference.
    - `minimumVersion` is the oldest version to speak; None is TLS 1.2 (RFC 9325, 3.1.1).

    OSError (ssl.SSLError is one), which names the file, if the files cannot be used. ValueError if `revoked` holds no
    revocation list.

    A program may replace the files at any time. getContext() checks them every RELOAD_INTERVAL at most, and new
    connections get the new certificate. If the new files do not belong together, the old certificate stays, with one
    warning in the log for each state of the files. If the system cannot read them (no descriptor is free, for example),
    each check tries again, and each error is logged once.
    """

    def __init__(
        self,
        certificate: Path,
        privateKey: Path | None = None,
        *,
        password: str | bytes | None = None,
        trustRoot: TrustRoot = None,
        requireCertificate: bool = True,
        revoked: Path | None = None,
        acceptableProtocols: Iterable[bytes | str] = (),
        minimumVersion: ssl.TLSVersion | None = None,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
        closeTimeout: float = CLOSE_TIMEOUT,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        if revoked is not None and trustRoot is None:
            raise ValueError("a revocation list needs a trustRoot")
        self.certificate = certificate
        self.privateKey = privateKey
        self.trustRoot = trustRoot
        self.requireCertificate = requireCertificate
        self.revoked = revoked
        checkNames(acceptableProtocols)
        self.acceptableProtocols = tuple(acceptableProtocols)
        self.minimumVersion = ssl.TLSVersion.TLSv1_2 if minimumVersion is None else minimumVersion
        self.handshakeTimeout = handshakeTimeout
        self.closeTimeout = closeTimeout
        self._password = password
        self._seconds = seconds
        self._state: list[tuple[int, int, int] | None] = []
        self._told: tuple[object, ...] | None = None  # the error of the last warning
        self._nextLook = 0.0
        self.reload()

    def getContext(self) -> ssl.SSLContext:
        """Return the context for a new connection: a new one if the files have changed."""
        now = self._seconds()
        if now >= self._nextLook:
            self._nextLook = now + RELOAD_INTERVAL
            if (state := self._stateOfFiles()) != self._state:
                self._reread(state)
        return self._context

    def _reread(self, state: list[tuple[int, int, int] | None]) -> None:
        """Load the files, which are in a new `state`, or warn that they cannot be used."""
        try:
            self._context = self._makeContext()
        except (OSError, ValueError, MemoryError) as error:
            told = state, type(error).__name__, getattr(error, "errno", None)
            if told != self._told:
                self._told = told
                log.warning("%s is not fit for use, the certificate from before stays: %s", self.certificate, error)
            if not isOfContents(error):
                return  # the files may be good, so the next check reads them again
        else:
            self._told = None
        self._state = state

    def reload(self) -> None:
        """Read the files now. OSError or ValueError if they cannot be used; the old context stays then."""
        state = self._stateOfFiles()
        self._context = self._makeContext()
        self._state = state
        self._nextLook = self._seconds() + RELOAD_INTERVAL

    def _stateOfFiles(self) -> list[tuple[int, int, int] | None]:
        paths = (self.certificate, self.privateKey, self.revoked, self.trustRoot)
        return [_stateOf(path) for path in paths if not (path is None or isinstance(path, bytes))]

    def _makeContext(self, chain: Path | None = None) -> ssl.SSLContext:
        """Return a new context. `chain` is a file to load in place of the certificate's own, or None."""
        context = withoutTickets(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        _harden(context, self.minimumVersion, self.acceptableProtocols)
        with _naming(self.certificate, self.privateKey):
            loadChain(context, chain or self.certificate, self.privateKey, self._askPassword, self.certificate)
        if self.trustRoot is not None:
            _trust(context, self.trustRoot)
            context.verify_mode = ssl.CERT_REQUIRED if self.requireCertificate else ssl.CERT_OPTIONAL
        if self.revoked is not None:
            loadRevocations(context, self.revoked)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        return context

    def _askPassword(self) -> str | bytes:
        """Return the password of an encrypted key. Without one it raises, as a question on the terminal would block."""
        if self._password is None:
            raise ValueError(f"the key of {self.certificate} is encrypted, and there is no password")
        return self._password


class ServerNameOptions:
    """Several certificates on one port, chosen by the name that a client asks for (SNI, RFC 6066).

    `others` maps names to context factories; "*.example.org" stands for any one label. It may also be a function that
    returns a context factory or None for a name. `default` serves a client that asks for no name or an unknown one. It
    also serves if a context raises, which is logged. The rules of `default` for client certificates hold for all.
    """

    def __init__(
        self,
        default: ContextFactory,
        others: Mapping[str, ContextFactory] | Callable[[str], ContextFactory | None],
    ) -> None:
        self.default = default
        self.others = others
        self.handshakeTimeout: float = getattr(default, "handshakeTimeout", HANDSHAKE_TIMEOUT)
        self.closeTimeout: float = getattr(default, "closeTimeout", CLOSE_TIMEOUT)

    def getContext(self) -> ssl.SSLContext:
        """Return the default's context, which chooses another one when the client's name is known."""
        context = contextOf(self.default)
        if context.sni_callback != self._choose:
            context.sni_callback = self._choose
        return context

    def _choose(self, sslObject: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        try:
            found = None if name is None else self._find(name.lower())
            if found is not None:
                sslObject.context = contextOf(found)
        except Exception as error:
            text = "no context for the server name %r: the default serves"
            log.limited(logging.ERROR, text, name, error=error)

    def _find(self, name: str) -> ContextFactory | None:
        if not isinstance(self.others, Mapping):
            return self.others(name)
        found = self.others.get(name)
        return self.others.get("*." + name.partition(".")[2]) if found is None else found


class ClientOptions:
    """The result of optionsForClientTLS: a context for clients, and the `hostname` that the server must prove."""

    def __init__(self, hostname: str, context: ssl.SSLContext, handshakeTimeout: float, closeTimeout: float) -> None:
        self.hostname = hostname
        self.handshakeTimeout = handshakeTimeout
        self.closeTimeout = closeTimeout
        self._context = context

    def getContext(self) -> ssl.SSLContext:
        """Return the context."""
        return self._context


def optionsForClientTLS(
    hostname: str,
    trustRoot: TrustRoot = None,
    clientCertificate: Path | tuple[Path, Path] | None = None,
    acceptableProtocols: Iterable[bytes | str] = (),
    *,
    minimumVersion: ssl.TLSVersion | None = None,
    handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    closeTimeout: float = CLOSE_TIMEOUT,
) -> ClientOptions:
    """Return a context factory for connections to `hostname`, a name or a literal address, which is verified.

    `trustRoot` names the trusted authorities: a path to a PEM file or a directory in OpenSSL's form, PEM text as bytes,
    or None (the system's). `clientCertificate` is for servers that ask for one: a path to a certificate with its key,
    or the two paths. `acceptableProtocols` are the ALPN names in order of preference. `minimumVersion` is the oldest
    version to speak; None is TLS 1.2 (RFC 9325, 3.1.1). TypeError if `hostname` is no text.
    """
    if not isinstance(hostname, str) or not hostname:
        raise TypeError(f"a host name is text, not {hostname!r}")
    checkNames(acceptableProtocols)
    context = _clientContext(minimumVersion, acceptableProtocols)
    _trust(context, trustRoot)
    if clientCertificate is not None:
        files = clientCertificate if isinstance(clientCertificate, tuple) else (clientCertificate,)
        with _naming(*files):
            loadChain(context, *files)
    return ClientOptions(hostname, context, handshakeTimeout, closeTimeout)


@functools.cache
def defaultClientContext() -> ssl.SSLContext:
    """Return the context of clients without one of their own: the system's trust, read once."""
    context = _clientContext(None, ())
    _trust(context, None)
    return context


def _clientContext(minimumVersion: ssl.TLSVersion | None, protocols: Iterable[bytes | str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    _harden(context, ssl.TLSVersion.TLSv1_2 if minimumVersion is None else minimumVersion, protocols)
    return context


def withoutTickets(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make a server's `context` send no session tickets of TLS 1.3, and return it.

    OpenSSL sends two behind each handshake (RFC 8446, 4.6.1). A client that only sends never reads them. Its kernel
    then resets the connection at close, as data is unread, and drops its unsent output (RFC 1122, 4.2.2.13). The price:
    a client cannot resume a session, and makes a full handshake each time.
    """
    context.num_tickets = 0
    return context


def isOfContents(error: BaseException) -> bool:
    """Whether `error` is about the contents of a certificate's files.

    Otherwise the system could not read them, and may succeed a moment later.
    """
    return isinstance(error, (ssl.SSLError, ValueError))


def _harden(context: ssl.SSLContext, minimumVersion: ssl.TLSVersion, protocols: Iterable[bytes | str]) -> None:
    context.minimum_version = minimumVersion
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    names = [name.decode("ascii") if isinstance(name, bytes) else name for name in protocols]
    if names:
        context.set_alpn_protocols(names)


def _trust(context: ssl.SSLContext, trustRoot: TrustRoot) -> None:
    if trustRoot is None:
        context.load_default_certs()
        _checkSystemsTrust(context)
    elif isinstance(trustRoot, bytes):
        loadTrustText(context, trustRoot)
    elif os.path.isdir(trustRoot):
        context.load_verify_locations(capath=trustRoot)
    else:
        with _naming(trustRoot):
            loadTrust(context, trustRoot)


@contextmanager
def _naming(*paths: Path | None) -> Iterator[None]:
    """Add the name of the file to an OSError, which `ssl` leaves out."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ssl.SSLError) or error.filename is not None:
            raise
        for path in paths:
            if path is not None:
                with open(path, "rb"):  # raises the same error, with the name
                    pass
        raise


def _checkSystemsTrust(context: ssl.SSLContext) -> None:
    """Raise OSError if the system's trust was not loaded because its file could not be read.

    OpenSSL does not report that, and the context would trust no authority for as long as it lives.
    """
    path = ssl.get_default_verify_paths().cafile
    if path is not None and not context.cert_store_stats()["x509_ca"]:
        with open(path, "rb") as file:
            file.read(1)


def _stateOf(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
