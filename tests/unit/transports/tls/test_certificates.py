"""Faults of PEM files are told with the file's name, and in words."""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from reactor import CertificateOptions, endpoints, optionsForClientTLS
from reactor.loops.epoll import EpollReactor
from reactor.tlsoptions import RELOAD_INTERVAL


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Any:
    """Certificates and keys of two hosts, alone and together, and what is neither."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        (tmp_path / f"{name}.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.both.pem"))
    (tmp_path / "text.pem").write_text("nothing of the kind\n")
    (tmp_path / "binary.pem").write_bytes(ssl.PEM_cert_to_DER_cert((tmp_path / "one.pem").read_text()))
    key, certificate = (tmp_path / "two.key").read_bytes(), (tmp_path / "one.pem").read_bytes()
    (tmp_path / "mixed.pem").write_bytes(key + certificate)
    lines = certificate.splitlines(keepends=True)
    (tmp_path / "broken.pem").write_bytes(b"".join([*lines[:3], *lines[5:]]) + (tmp_path / "one.key").read_bytes())
    return lambda name: str(tmp_path / name)


PAIRS: list[tuple[str, str | None, str]] = [
    ("one.pem", None, r"there is no private key in PEM format in .*one\.pem, which holds a certificate"),
    ("one.key", None, r"there is no certificate in PEM format in .*one\.key, which holds a private key"),
    ("one.key", "one.pem", r"there is no certificate in PEM format in .*one\.key, which holds a private key"),
    ("one.pem", "two.key", r"the private key in .*two\.key is not that of the certificate in .*one\.pem"),
    ("one.pem", "two.pem", r"there is no private key in PEM format in .*two\.pem, which holds a certificate"),
    ("mixed.pem", None, r"the private key in .*mixed\.pem is not that of the first certificate there"),
    ("text.pem", None, r"there is no certificate in PEM format in .*text\.pem$"),
    ("binary.pem", "one.key", r"there is no certificate in PEM format in .*binary\.pem, which holds binary data, DER"),
    ("broken.pem", None, r"broken\.pem cannot be used: "),
]


@pytest.mark.parametrize(("certificate", "key", "words"), PAIRS)
def test_certificatesAndKeys(files: Callable[[str], str], certificate: str, key: str | None, words: str) -> None:
    paths = (files(certificate), None if key is None else files(key))
    pair = paths[0] if paths[1] is None else (paths[0], paths[1])
    for use in (
        lambda: CertificateOptions(*paths),
        lambda: optionsForClientTLS("localhost", clientCertificate=pair),
    ):
        with pytest.raises(ssl.SSLError, match=words) as raised:
            use()
        assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize(("certificate", "key", "words"), PAIRS)
def test_inEndpointStrings(files: Callable[[str], str], certificate: str, key: str | None, words: str) -> None:
    string = f"ssl:0:privateKey={files(key or certificate)}:certKey={files(certificate)}"
    with pytest.raises(ssl.SSLError, match=words):
        endpoints.serverFromString(EpollReactor(), string)


def test_ofAFileThatIsJoinedToItsChain(files: Callable[[str], str]) -> None:
    """The words name the program's file, and not the one that OpenSSL was given for a moment."""
    string = f"ssl:0:privateKey={files('two.key')}:certKey={files('one.pem')}:extraCertChain={files('ca.pem')}"
    with pytest.raises(ssl.SSLError, match=r"the private key in .*two\.key is not that of .*/one\.pem$"):
        endpoints.serverFromString(EpollReactor(), string)


def test_trust(files: Callable[[str], str]) -> None:
    for name, words in (
        ("one.key", r"there is no certificate in PEM format in .*one\.key, which holds a private key"),
        ("text.pem", r"there is no certificate in PEM format in .*text\.pem$"),
    ):
        for use in (
            lambda: optionsForClientTLS("localhost", trustRoot=files(name)),  # noqa: B023
            lambda: CertificateOptions(files("one.both.pem"), trustRoot=files(name)),  # noqa: B023
        ):
            with pytest.raises(ssl.SSLError, match=words):
                use()
    for text in (b"", b"\x30\x82\xff", pathlib.Path(files("one.key")).read_bytes()):
        with pytest.raises(ValueError, match="a trustRoot of bytes is PEM text"):
            optionsForClientTLS("localhost", trustRoot=text)
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ssl.SSLError, match="the trustRoot cannot be used"):
        optionsForClientTLS("localhost", trustRoot=broken)


def test_revocationLists(files: Callable[[str], str], tmp_path: pathlib.Path) -> None:
    both = files("one.both.pem")
    with pytest.raises(ValueError, match=r"there is no revocation list in .*ca\.pem, which holds a certificate"):
        CertificateOptions(both, trustRoot=files("ca.pem"), revoked=files("ca.pem"))
    (tmp_path / "list.pem").write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    with pytest.raises(ssl.SSLError, match=r"list\.pem cannot be used"):
        CertificateOptions(both, trustRoot=files("ca.pem"), revoked=files("list.pem"))


def test_textInPlaceOfAPath(files: Callable[[str], str]) -> None:
    text = pathlib.Path(files("one.both.pem")).read_text()
    for paths in ((text, None), (files("one.pem"), text)):
        with pytest.raises(ValueError, match="by the paths of files, and this is PEM text"):
            CertificateOptions(*paths)


def test_passwords(files: Callable[[str], str], tmp_path: pathlib.Path) -> None:
    key = serialization.load_pem_private_key(pathlib.Path(files("one.key")).read_bytes(), None)
    best = serialization.BestAvailableEncryption(b"right")
    kinds = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    for kind in kinds:
        locked = key.private_bytes(serialization.Encoding.PEM, kind, best)
        (tmp_path / "locked.key").write_bytes(locked)
        CertificateOptions(files("one.pem"), files("locked.key"), password=b"right")
        with pytest.raises(ssl.SSLError, match=r"locked\.key cannot be decrypted with this password"):
            CertificateOptions(files("one.pem"), files("locked.key"), password=b"wrong")


def test_theWarningOfARenewal(files: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    options = CertificateOptions(files("one.both.pem"), seconds=lambda: now[0])
    before = options.getContext()
    pathlib.Path(files("one.both.pem")).write_bytes(pathlib.Path(files("two.pem")).read_bytes())
    now[0] += RELOAD_INTERVAL
    assert options.getContext() is before
    assert "there is no private key in PEM format in" in caplog.text


def test_oneNameInPlaceOfSeveral(files: Callable[[str], str]) -> None:
    for name in ("h2", b"h2"):
        for use in (
            lambda: CertificateOptions(files("one.both.pem"), acceptableProtocols=name),  # type: ignore[arg-type]  # noqa: B023
            lambda: optionsForClientTLS("localhost", acceptableProtocols=name),  # type: ignore[arg-type]  # noqa: B023
        ):
            with pytest.raises(TypeError, match=rf"acceptableProtocols are a list of names, not {name!r}"):
                use()
