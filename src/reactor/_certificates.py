"""The contents of PEM files, for errors that explain why a file is refused.

The ssl module says neither which file it could not use nor, as a rule, why.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from reactor import _overwritten as _overwritten
from reactor._later import later

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

Path: TypeAlias = str | os.PathLike[str]

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_TRUSTED = b"-----BEGIN TRUSTED CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
_REVOCATIONS = b"-----BEGIN X509 CRL-----"


def loadChain(
    context: ssl.SSLContext,
    certificate: Path,
    privateKey: Path | None = None,
    password: Callable[[], str | bytes] | None = None,
    named: Path | None = None,
) -> None:
    """Call context.load_cert_chain. An SSLError names the faulty file, and the fault.

    ValueError for PEM text in the place of a path. `named` replaces `certificate` in the words of an error, if that is
    a copy.
    """
    for path in (certificate, privateKey):
        if isinstance(path, str) and "-----BEGIN" in path:
            raise ValueError("a certificate and a key are named by the paths of files, and this is PEM text")
    try:
        context.load_cert_chain(certificate, privateKey, password)
    except ssl.SSLError as error:
        shown = certificate if named is None else named
        raise _inWords(error, _faultOfChain(error, shown, shown if privateKey is None else privateKey)) from None


def loadTrust(context: ssl.SSLContext, path: Path) -> None:
    """Call context.load_verify_locations with a file of certificates; errors as for loadChain."""
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _inWords(error, _without(path, (_CERTIFICATE, _TRUSTED), "certificate") or _of(error, path)) from None


def loadRevocations(context: ssl.SSLContext, path: Path) -> None:
    """Call context.load_verify_locations with a revocation list; errors as for loadChain. ValueError if it has none."""
    fault = _without(path, (_REVOCATIONS,), "revocation list")
    if fault is not None:
        raise ValueError(fault)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _inWords(error, _of(error, path)) from None


def loadTrustText(context: ssl.SSLContext, text: bytes) -> None:
    """Trust the certificates in PEM text. ValueError if there is none, SSLError if one is broken."""
    if _CERTIFICATE not in text:
        raise ValueError("a trustRoot of bytes is PEM text, and there is no certificate in this one")
    try:
        context.load_verify_locations(cadata=text.decode("ascii", "replace"))
    except ssl.SSLError as error:
        raise _inWords(error, f"the trustRoot cannot be used: {error}") from None


def _faultOfChain(error: ssl.SSLError, certificate: Path, privateKey: Path) -> str:
    fault = _without(certificate, (_CERTIFICATE, _TRUSTED), "certificate") or _without(
        privateKey, (_KEY,), "private key"
    )
    if fault is not None:
        return fault
    if error.reason == "KEY_VALUES_MISMATCH":
        if certificate == privateKey:
            return f"the private key in {_text(privateKey)} is not that of the first certificate there"
        return f"the private key in {_text(privateKey)} is not that of the certificate in {_text(certificate)}"
    if any(mark in _contentOf(privateKey) for mark in _ENCRYPTED):
        return f"the private key in {_text(privateKey)} cannot be decrypted with this password: {error}"
    if certificate == privateKey:
        return _of(error, certificate)
    return f"{_text(certificate)}, with the key in {_text(privateKey)}, cannot be used: {error}"


def _of(error: ssl.SSLError, path: Path) -> str:
    return f"{_text(path)} cannot be used: {error}"


def _without(path: Path, marks: tuple[bytes, ...], what: str) -> str | None:
    """Return the words for a file that holds none of `marks`; None if it holds one."""
    content = _contentOf(path)
    if any(mark in content for mark in marks):
        return None
    kinds = {
        "a certificate": _CERTIFICATE in content,
        "a private key": _KEY in content,
        "a revocation list": _REVOCATIONS in content,
        "binary data, DER maybe": content[:1] == b"0" and b"-----BEGIN" not in content,
    }
    held = " and ".join(kind for kind, isThere in kinds.items() if isThere)
    return f"there is no {what} in PEM format in {_text(path)}" + (f", which holds {held}" if held else "")


def _contentOf(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _text(path: Path) -> str:
    return os.fsdecode(path)


def _inWords(error: ssl.SSLError, words: str) -> ssl.SSLError:
    """Return the same error with other words."""
    new = type(error)(error.errno, words)
    for name in ("library", "reason"):
        setattr(new, name, getattr(error, name, None))
    return new
