"""The context factories of `twisted.internet.ssl`, on the standard library's `ssl`."""

from __future__ import annotations

import ssl
import tempfile
import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from reactor import tlsoptions

FILETYPE_PEM = 1  # the number of pyOpenSSL


class ContextFactory:
    """The base of context factories: a subclass has getContext(), which returns an ssl.SSLContext."""

    isClient = 0

    def getContext(self) -> ssl.SSLContext:
        """Return the context. NotImplementedError here."""
        raise NotImplementedError


class CertificateOptions(ContextFactory):
    """A key, its certificate and the trusted authorities, as objects. `reactor.CertificateOptions` takes paths.

    The objects are those of `reactor.compat.ssl`, or of pyOpenSSL. The context serves both sides. A peer is verified
    with `verify`, by `caCerts`, or with a `trustRoot`: a certificate, the result of trustRootFromCertificates, or of
    platformTrust. TLS 1.2 is the oldest version, or `insecurelyLowerMinimumTo` or `raiseMinimumTo`: versions of the
    standard library's `ssl`. The settings of pyOpenSSL's sessions and ciphers are taken, and have no effect.

    ValueError for a key without a certificate, or the reverse, and for a `verify` without `caCerts`. TypeError for two
    ways to verify. ssl.SSLError if key and certificate do not belong together.
    """

    def __init__(
        self,
        privateKey: Any = None,
        certificate: Any = None,
        method: Any = None,
        verify: bool = False,
        caCerts: Iterable[Any] | None = None,
        verifyDepth: int = 9,
        requireCertificate: bool = True,
        verifyOnce: bool = True,
        enableSingleUseKeys: bool = True,
        enableSessions: bool = False,
        fixBrokenPeers: bool = False,
        enableSessionTickets: bool = False,
        extraCertChain: Iterable[Any] | None = None,
        acceptableCiphers: Any = None,
        dhParameters: Any = None,
        trustRoot: Any = None,
        acceptableProtocols: Iterable[bytes] | None = None,
        raiseMinimumTo: ssl.TLSVersion | None = None,
        insecurelyLowerMinimumTo: ssl.TLSVersion | None = None,
        lowerMaximumSecurityTo: ssl.TLSVersion | None = None,
    ) -> None:
        if (privateKey is None) != (certificate is None):
            raise ValueError("a key and its certificate come together: give both, or neither")
        if verify and not caCerts:
            raise ValueError("verify needs the authorities, in caCerts")
        if extraCertChain is not None and privateKey is None:
            raise ValueError("an extraCertChain needs a key and its certificate")
        if trustRoot is not None and caCerts:
            raise TypeError("caCerts and trustRoot exclude each other")
        self.privateKey = privateKey
        self.certificate = certificate
        self.extraCertChain = list(extraCertChain or ())
        self.verify = verify or trustRoot is not None
        self.requireCertificate = requireCertificate
        self._minimum = insecurelyLowerMinimumTo or raiseMinimumTo or ssl.TLSVersion.TLSv1_2
        self._maximum = lowerMaximumSecurityTo
        self._protocols = tuple(acceptableProtocols or ())
        self._trusted = b"".join(map(pemOf, caCerts or ())) if trustRoot is None else trusted(trustRoot)
        self._context = self._made()

    def getContext(self) -> ssl.SSLContext:
        """Return the context, the same one at each call."""
        return self._context

    def _made(self) -> ssl.SSLContext:
        with warnings.catch_warnings():  # the one protocol that serves both sides is deprecated for its lack of checks
            warnings.simplefilter("ignore", DeprecationWarning)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS)
            tlsoptions._harden(context, self._minimum, self._protocols)
        if self._maximum is not None:
            context.maximum_version = self._maximum
        if self.privateKey is not None:
            chain = (self.certificate, *self.extraCertChain)
            loadInto(context, pemOf(self.privateKey) + b"".join(map(pemOf, chain)))
        if self.verify:
            if self._trusted is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(cadata=self._trusted.decode())
            context.verify_mode = ssl.CERT_REQUIRED if self.requireCertificate else ssl.CERT_OPTIONAL
        return context


class ClientContextFactory(ContextFactory):
    """A context for clients that verify nothing, as in Twisted. optionsForClientTLS verifies."""

    isClient = 1

    def getContext(self) -> ssl.SSLContext:
        """Return a new context."""
        context = tlsoptions._clientContext(None, ())
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


class DefaultOpenSSLContextFactory(ContextFactory):
    """A context for servers with the key and the certificate of two files in PEM, which are read again if they change.

    OSError, which names the file, if they cannot be used. `sslmethod` is taken, and has no effect.
    """

    def __init__(self, privateKeyFileName: str, certificateFileName: str, sslmethod: Any = None) -> None:
        self.privateKeyFileName = privateKeyFileName
        self.certificateFileName = certificateFileName
        self.sslmethod = sslmethod
        self.cacheContext()

    def cacheContext(self) -> None:
        """Read the files, if they have not been read."""
        if not hasattr(self, "_options"):
            self._options = tlsoptions.CertificateOptions(self.certificateFileName, self.privateKeyFileName)

    def getContext(self) -> ssl.SSLContext:
        """Return the context."""
        return self._options.getContext()


class OpenSSLDefaultPaths:
    """The system's authorities, as the result of platformTrust."""


def trusted(trustRoot: Any) -> bytes | None:
    """Return the authorities of a trustRoot in PEM; None if they are the system's. TypeError if it is none."""
    if trustRoot is None or isinstance(trustRoot, OpenSSLDefaultPaths):
        return None
    return trustRoot if isinstance(trustRoot, bytes) else pemOf(trustRoot)


def pemOf(thing: Any) -> bytes:
    """Return the PEM of a certificate or a key, of `reactor.compat.ssl` or of pyOpenSSL. TypeError if it is none."""
    dump = getattr(thing, "dump", None)
    if dump is not None:
        return bytes(dump(FILETYPE_PEM))
    home = import_module(type(thing).__module__)  # pyOpenSSL's own functions write its objects
    for attribute, function in (("get_subject", "dump_certificate"), ("bits", "dump_privatekey")):
        if hasattr(thing, attribute) and hasattr(home, function):
            return bytes(getattr(home, function)(FILETYPE_PEM, thing))
    raise TypeError(f"a certificate or a key is needed, not {thing!r}")


def loadInto(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a key and its certificates into a context, by a file that only this user can read, for a moment."""
    with tempfile.NamedTemporaryFile(prefix="reactor-", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
