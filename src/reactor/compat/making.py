"""Keys and certificates, made by the library `cryptography`, which is no dependency of this package."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Mapping
from typing import Any

LIFE = 365 * 86400.0  # seconds


def _needed(module: str) -> Any:
    try:
        return importlib.import_module(f"cryptography.{module}")
    except ImportError:
        raise NotImplementedError(
            "the standard library makes no keys and certificates: pip install cryptography, or make one with openssl"
        ) from None


def makeKey(size: int) -> bytes:
    """Return a new RSA key of `size` bits in PEM (PKCS #8). NotImplementedError without the library."""
    serialization = _needed("hazmat.primitives.serialization")
    key = _needed("hazmat.primitives.asymmetric.rsa").generate_private_key(public_exponent=65537, key_size=size)
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def makeRequest(key: bytes, subject: Mapping[str, bytes], digest: str = "sha256") -> bytes:
    """Return a certificate request in DER for `key`, in PEM. `subject` has attributes by long names, as commonName.

    ValueError for another name.
    """
    builder = _needed("x509").CertificateSigningRequestBuilder().subject_name(_nameOf(subject))
    return _derOf(builder.sign(_private(key), _hash(digest)))


def subjectOf(request: bytes) -> dict[str, bytes]:
    """Return the subject of a request in DER, by long names. ValueError if it is none, or its key did not sign it."""
    loaded = _needed("x509").load_der_x509_csr(request)
    if not loaded.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    names = {
        getattr(_needed("x509.oid").NameOID, name): name for name in vars(_needed("x509.oid").NameOID) if name[0] != "_"
    }
    return {_long(names[each.oid]): each.value.encode() for each in loaded.subject if each.oid in names}


def signRequest(
    key: bytes, issuer: Mapping[str, bytes], request: bytes, serial: int, seconds: float, digest: str = "sha256"
) -> bytes:
    """Return a certificate in DER for a request in DER, signed by `key`, valid for `seconds` from now on."""
    x509 = _needed("x509")
    loaded = x509.load_der_x509_csr(request)
    return _signed(key, issuer, loaded.subject, loaded.public_key(), serial, seconds, digest)


def makeCertificate(key: bytes, serial: int, subject: Mapping[str, bytes], digest: str = "sha256") -> bytes:
    """Return a certificate in DER that `key`, in PEM, signs for itself. It is valid for LIFE seconds from now on."""
    return _signed(key, subject, _nameOf(subject), _private(key).public_key(), serial, LIFE, digest)


def _signed(
    key: bytes, issuer: Mapping[str, bytes], subject: Any, public: Any, serial: int, seconds: float, digest: str
) -> bytes:
    x509 = _needed("x509")
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_nameOf(issuer))
        .public_key(public)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(seconds=seconds))
    )
    return _derOf(builder.sign(_private(key), _hash(digest)))


def _private(key: bytes) -> Any:
    return _needed("hazmat.primitives.serialization").load_pem_private_key(key, None)


def _hash(digest: str) -> Any:
    return getattr(_needed("hazmat.primitives.hashes"), digest.upper())()


def _derOf(made: Any) -> bytes:
    der: bytes = made.public_bytes(_needed("hazmat.primitives.serialization").Encoding.DER)
    return der


def _nameOf(subject: Mapping[str, bytes]) -> Any:
    x509 = _needed("x509")
    return x509.Name([x509.NameAttribute(_oid(each), value.decode()) for each, value in subject.items()])


def _oid(name: str) -> Any:
    spelled = "".join(f"_{each}" if each.isupper() else each.upper() for each in name)
    try:
        return getattr(_needed("x509.oid").NameOID, spelled)
    except AttributeError:
        raise ValueError(f"{name!r} is no attribute of a name in a certificate") from None


def _long(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(map(str.capitalize, rest))
