"""The files of TLS that endpoint strings name: certificates, chains, directories of either."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor._certificates import Path
from reactor._later import later
from reactor.tlsoptions import (
    RELOAD_INTERVAL,
    CertificateOptions,
    ContextFactory,
    ServerNameOptions,
    _stateOf,
    isOfContents,
)

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?\s-----END CERTIFICATE-----", re.DOTALL)


def certificatesIn(path: str) -> list[bytes]:
    """Return the certificates of a PEM file, in PEM. OSError if it cannot be read."""
    return _CERTIFICATE.findall(pathlib.Path(path).read_bytes())


class ServerFileOptions(CertificateOptions):
    """CertificateOptions whose chain may stand in a file of its own, `extraCertChain`.

    With `onlyVersion` it allows no other version of TLS.
    """

    def __init__(
        self,
        certificate: str,
        privateKey: str,
        extraCertChain: str | None = None,
        onlyVersion: ssl.TLSVersion | None = None,
    ) -> None:
        self._chain = extraCertChain
        self._onlyVersion = onlyVersion
        super().__init__(certificate, privateKey)

    def _stateOfFiles(self) -> list[tuple[int, int, int] | None]:
        states = super()._stateOfFiles()
        return states if self._chain is None else [*states, _stateOf(self._chain)]

    def _makeContext(self, chain: Path | None = None) -> ssl.SSLContext:
        context = super()._makeContext() if self._chain is None else self._contextWith(certificatesIn(self._chain))
        if self._onlyVersion is not None:
            context.minimum_version = context.maximum_version = self._onlyVersion
        return context

    def _contextWith(self, chain: list[bytes]) -> ssl.SSLContext:
        """Make a context by way of a temporary file, because the ssl module takes a chain only from one file."""
        if not chain:
            raise ValueError(f"there is no certificate in PEM format in {self._chain}")
        with tempfile.NamedTemporaryFile(prefix="reactor-chain-", suffix=".pem") as joined:
            joined.write(b"\n".join([*certificatesIn(os.fspath(self.certificate)), *chain, b""]))
            joined.flush()
            return super()._makeContext(joined.name)


def serverOptions(
    privateKey: str, certKey: str | None, extraCertChain: str | None, onlyVersion: ssl.TLSVersion | None = None
) -> CertificateOptions:
    """Return the options for a server with its key, certificate and chain in these files (None: in the first)."""
    certificate = privateKey if certKey is None else certKey
    return ServerFileOptions(certificate, privateKey, extraCertChain, onlyVersion)


def trustIn(directory: str | None) -> bytes | None:
    """Return every certificate in the `*.pem` files of `directory`, in PEM. For None return None: the system's trust.

    ValueError if there is none; OSError if there is no such directory.
    """
    if directory is None:
        return None
    paths = sorted(path for path in pathlib.Path(directory).iterdir() if path.suffix.lower() == ".pem")
    found = dict.fromkeys(certificate for path in paths for certificate in certificatesIn(str(path)))
    if not found:
        raise ValueError(f"there is no certificate in a file *.pem of {directory}")
    return b"\n".join([*found, b""])


class PEMDirectory:
    """The certificates of a directory, by host name; each has its key and chain in one `*.pem` file.

    If a client asks for an unknown name and the directory has changed, it is read again. If the system could not read
    it, the next unknown name reads it again, at most once in RELOAD_INTERVAL. ValueError if there is no certificate.
    """

    def __init__(self, directory: str, seconds: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._seconds = seconds
        self._changed = 0
        self._nextLook = 0.0  # in the future only if the system could not read the directory
        self._read()

    def options(self) -> ServerNameOptions:
        """Return a context factory for servers. The first file, by name, serves clients with an unknown host name."""
        return ServerNameOptions(next(iter(self._options.values())), self.find)

    def find(self, name: str) -> ContextFactory | None:
        """Return the options for the host `name`."""
        found = self._find(name)
        if found is None and self._seconds() >= self._nextLook and self._stateOfDirectory() != self._changed:
            self._read()
            found = self._find(name)
        return found

    def _find(self, name: str) -> ContextFactory | None:
        return self._options.get(name) or self._options.get("*." + name.partition(".")[2])

    def _stateOfDirectory(self) -> int:
        return os.stat(self._directory).st_mtime_ns

    def _read(self) -> None:
        changed = self._stateOfDirectory()
        try:
            self._options = self._optionsByName()
        except (OSError, ValueError, MemoryError) as error:
            if isOfContents(error):
                self._changed = changed
            else:
                self._nextLook = self._seconds() + RELOAD_INTERVAL
            raise
        self._changed = changed

    def _optionsByName(self) -> dict[str, ContextFactory]:
        options: dict[str, ContextFactory] = {}
        for path in sorted(pathlib.Path(self._directory).iterdir()):
            if path.suffix.lower() == ".pem" and b"PRIVATE KEY-----" in path.read_bytes():
                own = CertificateOptions(path)
                for name in namesOf(own) or [path.stem.lower()]:
                    options.setdefault(name, own)
        if not options:
            raise ValueError(f"there is no certificate with its key in a file *.pem of {self._directory}")
        return options


def namesOf(options: CertificateOptions) -> list[str]:
    """Return the host names of a certificate, or none if it is not valid (or no longer valid)."""
    # The ssl module gives the fields only of a certificate that it has verified. So this makes a handshake with it.
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=certificatesIn(os.fspath(options.certificate))[0].decode("ascii"))
    wires = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(wires[0], wires[1]),
        options.getContext().wrap_bio(wires[1], wires[0], server_side=True),
    ]
    for end in (ends[0], ends[1], ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return []
    fields: dict[str, Any] = ends[0].getpeercert() or {}
    return [name.lower() for kind, name in fields.get("subjectAltName", ()) if kind == "DNS"]
