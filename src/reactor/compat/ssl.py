"""`twisted.internet.ssl` on the standard library's `ssl`: certificates as objects, and context factories.

Keys and certificates are loaded, from PEM or DER. To make them, the library `cryptography` is needed: the standard
library makes none. Context factories here are for listenSSL, connectSSL and startTLS of this package.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Self

from reactor import tlsoptions
from reactor.compat.contextfactories import (
    FILETYPE_PEM,
    CertificateOptions,
    ClientContextFactory,
    ContextFactory,
    DefaultOpenSSLContextFactory,
    OpenSSLDefaultPaths,
    loadInto,
    trusted,
)
from reactor.compat.der import partsOf
from reactor.compat.making import LIFE, makeCertificate, makeKey, makeRequest, signRequest, subjectOf
from reactor.defer import Deferred
from reactor.interfaces import ISSLTransport

supported = True
FILETYPE_ASN1 = 2  # the number of pyOpenSSL

SHORT = {
    "CN": "commonName",
    "C": "countryName",
    "L": "localityName",
    "ST": "stateOrProvinceName",
    "O": "organizationName",
    "OU": "organizationalUnitName",
}
_BEGIN_KEY, _END_KEY = b"-----BEGIN ", b"PRIVATE KEY-----"


class DistinguishedName(dict[str, bytes]):
    """The name of a certificate's holder: attributes such as commonName, or CN, whose values are bytes."""

    def __init__(self, **kw: str | bytes) -> None:
        super().__init__()
        for name, value in kw.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> bytes:
        try:
            return self[SHORT.get(name, name)]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: str | bytes) -> None:
        self[SHORT.get(name, name)] = value.encode() if isinstance(value, str) else value

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"<DN {dict(self)!r}>"

    def inspect(self) -> str:
        """Return the attributes as text, one a line."""
        return "\n".join(f"{name:>23}: {value.decode('utf-8', 'replace')}" for name, value in self.items())


DN = DistinguishedName


class Certificate:
    """A certificate, without its key. Equal ones have the same bytes."""

    def __init__(self, der: bytes) -> None:
        self._der = der
        self._parts = partsOf(der)

    @classmethod
    def load(cls, requestData: bytes, format: int = FILETYPE_ASN1, args: tuple[Any, ...] = ()) -> Self:
        """Load a certificate in DER, or in PEM with FILETYPE_PEM. ValueError if it is none."""
        return cls(_derOf(requestData) if format == FILETYPE_PEM else requestData, *args)

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Load the first certificate of a text in PEM. ValueError if there is none."""
        return cls.load(data, FILETYPE_PEM)

    @classmethod
    def peerFromTransport(cls, transport: ISSLTransport) -> Certificate:
        """Return the certificate that the peer has shown. CertificateError if it has shown none."""
        shown: Any = transport.getPeerCertificate()
        if shown is None:
            raise CertificateError(f"TLS has not negotiated a certificate of the peer of {transport!r}")
        return Certificate(shown)

    def dump(self, format: int = FILETYPE_ASN1) -> bytes:
        """Return the certificate in DER, or in PEM with FILETYPE_PEM."""
        return ssl.DER_cert_to_PEM_cert(self._der).encode() if format == FILETYPE_PEM else self._der

    def dumpPEM(self) -> bytes:
        """Return the certificate in PEM."""
        return self.dump(FILETYPE_PEM)

    def digest(self, method: str = "md5") -> str:
        """Return the fingerprint as pairs of hexadecimal digits with colons between. `method` names a hash."""
        return hashlib.new(method, self._der, usedforsecurity=False).digest().hex(":").upper()

    def serialNumber(self) -> int:
        """Return the serial number."""
        return self._parts.serial

    def getSubject(self) -> DistinguishedName:
        """Return the name of the holder."""
        return _named(self._parts.subject)

    def getIssuer(self) -> DistinguishedName:
        """Return the name of the authority that signed it."""
        return _named(self._parts.issuer)

    def options(self, *authorities: Certificate) -> Any:
        """Only a certificate with a key has options: NotImplementedError."""
        raise NotImplementedError("a certificate without its key cannot serve: use a PrivateCertificate")

    def inspect(self) -> str:
        """Return what the certificate says, as text."""
        names = f"Subject:\n{self.getSubject().inspect()}\n\nIssuer:\n{self.getIssuer().inspect()}"
        return f"Certificate For {names}\n\nSerial Number: {self.serialNumber()}\nDigest: {self.digest()}"

    def __eq__(self, other: object) -> bool:
        return self._der == other._der if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._der)

    def __repr__(self) -> str:
        name, issuer = (
            dn.get("commonName", b"").decode("utf-8", "replace") for dn in (self.getSubject(), self.getIssuer())
        )
        return f"<{type(self).__name__} Subject={name} Issuer={issuer}>"


class CertificateError(Exception):
    """A peer has shown no certificate."""


class VerifyError(Exception):
    """A certificate request was refused."""


class KeyPair:
    """A private key, kept as its text in PEM."""

    def __init__(self, pem: bytes) -> None:
        self._pem = pem

    @classmethod
    def load(cls, data: bytes, format: int = FILETYPE_ASN1) -> Self:
        """Load a key that is not encrypted, in PEM with FILETYPE_PEM, or in DER (PKCS #8). ValueError if it is none."""
        if format == FILETYPE_PEM:
            return cls(_keyOf(data))
        text = ssl.DER_cert_to_PEM_cert(data).replace("CERTIFICATE", "PRIVATE KEY")
        return cls(text.encode())

    @classmethod
    def generate(cls, kind: Any = None, size: int = 2048) -> Self:
        """Make an RSA key of `size` bits. NotImplementedError without the library `cryptography`."""
        return cls(makeKey(size))

    def dump(self, format: int = FILETYPE_ASN1) -> bytes:
        """Return the key in DER, or in PEM with FILETYPE_PEM."""
        if format == FILETYPE_PEM:
            return self._pem
        lines = [line for line in self._pem.decode().split("\n") if line and not line.startswith("-----")]
        return ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}\n" + "\n".join(lines) + f"\n{ssl.PEM_FOOTER}\n")

    def selfSignedCert(self, serialNumber: int, **kw: Any) -> PrivateCertificate:
        """Make a certificate with this key, for a year, whose subject has the attributes `kw`, for example CN="name".

        NotImplementedError without the library `cryptography`.
        """
        return PrivateCertificate(makeCertificate(self._pem, serialNumber, DN(**kw)))._with(self)

    def certificateRequest(
        self, distinguishedName: DistinguishedName, format: int = FILETYPE_ASN1, digestAlgorithm: str = "sha256"
    ) -> bytes:
        """Make a certificate request, in DER or in PEM. NotImplementedError without the library `cryptography`."""
        request = makeRequest(self._pem, distinguishedName, digestAlgorithm)
        return _inFormat(request, format, "CERTIFICATE REQUEST")

    def signCertificateRequest(
        self,
        issuerDistinguishedName: DistinguishedName,
        requestData: bytes,
        verifyDNCallback: Callable[[DistinguishedName], Any],
        serialNumber: int,
        requestFormat: int = FILETYPE_ASN1,
        certificateFormat: int = FILETYPE_ASN1,
        secondsToExpiry: float = LIFE,
        digestAlgorithm: str = "sha256",
    ) -> Any:
        """Return the certificate for a request, signed by this key, in DER or in PEM.

        `verifyDNCallback(dn)` says whether the request's subject may have one: VerifyError if not. If it returns a
        Deferred, so does this. ValueError if the request is none. NotImplementedError without `cryptography`.
        """
        request = _derOf(requestData, "CERTIFICATE REQUEST") if requestFormat == FILETYPE_PEM else requestData
        subject = DN(**subjectOf(request))

        def verified(isGood: Any) -> bytes:
            if not isGood:
                raise VerifyError(f"{verifyDNCallback!r} has refused the subject {subject!r}")
            made = signRequest(
                self._pem, issuerDistinguishedName, request, serialNumber, secondsToExpiry, digestAlgorithm
            )
            return _inFormat(made, certificateFormat, "CERTIFICATE")

        answer = verifyDNCallback(subject)
        return answer.addCallback(verified) if isinstance(answer, Deferred) else verified(answer)

    def newCertificate(self, newCertData: bytes, format: int = FILETYPE_ASN1) -> PrivateCertificate:
        """Join a certificate in DER, or in PEM with FILETYPE_PEM, and this key."""
        return PrivateCertificate.load(newCertData, self, format)

    def __repr__(self) -> str:
        return "<KeyPair>"


class PrivateCertificate(Certificate):
    """A certificate with its key."""

    privateKey: KeyPair

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Load a certificate and its key from one text in PEM. ValueError if one is missing."""
        return cls.load(data, KeyPair.load(data, FILETYPE_PEM), FILETYPE_PEM)

    @classmethod
    def load(cls, data: bytes, privateKey: Any, format: int = FILETYPE_ASN1) -> Self:  # type: ignore[override]
        """Load a certificate whose key is `privateKey`, a KeyPair. ValueError if it is none."""
        return cls(_derOf(data) if format == FILETYPE_PEM else data)._with(privateKey)

    @classmethod
    def fromCertificateAndKeyPair(cls, certificateInstance: Certificate, privateKey: KeyPair) -> Self:
        """Join a certificate and its key."""
        return cls(certificateInstance.dump())._with(privateKey)

    def _with(self, privateKey: KeyPair) -> Self:
        self.privateKey = privateKey
        return self

    def options(self, *authorities: Certificate) -> CertificateOptions:
        """Return a context factory for both sides. With `authorities`, the peer's certificate must lead to one.

        ssl.SSLError if certificate and key do not belong together.
        """
        return CertificateOptions(self.privateKey, self, verify=bool(authorities), caCerts=authorities or None)

    def dumpPEM(self) -> bytes:
        """Return the key and the certificate in PEM."""
        return self.privateKey.dump(FILETYPE_PEM) + self.dump(FILETYPE_PEM)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} with {self.privateKey!r}>"


def optionsForClientTLS(
    hostname: str,
    trustRoot: Any = None,
    clientCertificate: PrivateCertificate | None = None,
    acceptableProtocols: Iterable[bytes] | None = None,
) -> tlsoptions.ClientOptions:
    """Return a context factory for connections to `hostname`, which is verified.

    `trustRoot` is a Certificate, or the result of trustRootFromCertificates or platformTrust; None is the system's.
    TypeError if `hostname` is no text.
    """
    options = tlsoptions.optionsForClientTLS(hostname, trusted(trustRoot), None, acceptableProtocols or ())
    if clientCertificate is not None:
        loadInto(options.getContext(), clientCertificate.dumpPEM())
    return options


def trustRootFromCertificates(certificates: Iterable[Certificate]) -> bytes:
    """Return a trustRoot of several certificates: their text in PEM. TypeError if one is no Certificate."""
    found = list(certificates)
    for each in found:
        if not isinstance(each, Certificate):
            raise TypeError(f"certificates items must be twisted.internet.ssl.CertBase instances, not {each!r}")
    return b"".join(each.dump(FILETYPE_PEM) for each in found)


def platformTrust() -> OpenSSLDefaultPaths:
    """Return the trustRoot that is the system's."""
    return OpenSSLDefaultPaths()


def _named(pairs: list[tuple[str, bytes]]) -> DistinguishedName:
    found = DistinguishedName()
    found.update(pairs)
    return found


def _derOf(text: bytes, what: str = "CERTIFICATE") -> bytes:
    begin, end = f"-----BEGIN {what}-----".encode(), f"-----END {what}-----".encode()
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError(f"there is no {what.lower()} in PEM format in the text")
    return base64.b64decode(text[start + len(begin) : stop])


def _inFormat(der: bytes, format: int, what: str) -> bytes:
    if format != FILETYPE_PEM:
        return der
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", what).encode()


def _keyOf(text: bytes) -> bytes:
    """Return the first private key of a text in PEM."""
    stop = text.find(_END_KEY, text.find(_END_KEY) + 1)
    start = text.rfind(_BEGIN_KEY, 0, text.find(_END_KEY))
    if start < 0 or stop < 0:
        raise ValueError("there is no private key in PEM format in the text")
    return text[start : stop + len(_END_KEY)].strip() + b"\n"


__all__ = [
    "DN",
    "Certificate",
    "CertificateError",
    "CertificateOptions",
    "ClientContextFactory",
    "ContextFactory",
    "DefaultOpenSSLContextFactory",
    "DistinguishedName",
    "KeyPair",
    "PrivateCertificate",
    "optionsForClientTLS",
    "platformTrust",
    "supported",
    "trustRootFromCertificates",
]
