"""Certificates of every kind, good and bad, and the authorities that issue them."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import ssl
import subprocess
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.tlsworlds import HOST, write
from tests.support.worlds import LOOPBACK

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Authority:
    """A root that signs what it is asked to. RSA where the kind of key matters, else what is quick."""

    def __init__(
        self,
        name: str = "root",
        issuer: Authority | None = None,
        isCA: bool = True,
        below: int | None = None,
        days: float = 30,
        allowed: str | None = None,
    ) -> None:
        self.key: Any = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=isCA, path_length=below)
        begin = NOW - 10 * DAY
        builder = self.builder(self.name, self.key.public_key(), issuer or self, begin, days)
        builder = builder.add_extension(basic, True)
        if isCA:
            signs = dict.fromkeys(("key_cert_sign", "crl_sign"), True)
            builder = builder.add_extension(x509.KeyUsage(**{**dict.fromkeys(USAGES, False), **signs}), True)
        if allowed is not None:
            builder = builder.add_extension(x509.NameConstraints([x509.DNSName(allowed)], None), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())

    @staticmethod
    def builder(
        subject: x509.Name, key: Any, issuer: Authority, begin: datetime.datetime = NOW - DAY, days: float = 30
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + days * DAY)
        )

    def issue(
        self,
        names: list[x509.GeneralName],
        common: str = "leaf",
        begin: datetime.datetime = NOW - DAY,
        days: float = 30,
        key: Any = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        chain: tuple[Authority, ...] = (),
        extension: x509.ExtensionType | None = None,
    ) -> bytes:
        """Certificate, chain and key in PEM."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        builder = self.builder(subject, key.public_key(), self, begin, days)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(mine, False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        if extension is not None:
            builder = builder.add_extension(extension, True)
        certificates = [builder.sign(self.key, hashes.SHA256()), *(each.certificate for each in chain)]
        pem = serialization.Encoding.PEM
        return b"".join(certificate.public_bytes(pem) for certificate in certificates) + privatePem(key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


ROOT = Authority()
FOREIGN = Authority("foreign")
MIDDLE = Authority("middle", ROOT)
NO_CA = Authority("no authority", ROOT, isCA=False)
LAST = Authority("nobody below", ROOT, below=0)
BELOW_LAST = Authority("below the last", LAST)
OVER = Authority("over", ROOT, days=9)
ELSEWHERE = Authority("elsewhere", ROOT, allowed="other.test")


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def selfSigned() -> bytes:
    lone = Authority(HOST)
    lone.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
    return lone.issue(dns(HOST), key=lone.key)


def sha1Signed() -> bytes:
    """Return a certificate that libraries refuse to sign nowadays, and the openssl of a distribution signs."""
    root, key = write("sha1-root.pem", ROOT.pem), write("sha1-root.key", privatePem(ROOT.key))
    leaf, leafKey = (write(name, b"") for name in ("sha1.pem", "sha1.key"))
    names = ("-subj", "/CN=leaf", "-addext", f"subjectAltName=DNS:{HOST}")
    made = ("-newkey", "rsa:2048", "-nodes", "-keyout", leafKey, "-out", leaf, "-days", "9")
    subprocess.run(
        ["openssl", "req", "-x509", "-sha1", "-CA", root, "-CAkey", key, *names, *made], capture_output=True, check=True
    )
    pem = pathlib.Path(leaf).read_bytes()
    algorithm = x509.load_pem_x509_certificate(pem).signature_hash_algorithm
    assert algorithm is not None
    assert algorithm.name == "sha1"
    return pem + pathlib.Path(leafKey).read_bytes()


def privatePem(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded


def address(text: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(text))]


BAD: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "self-signed": (HOST, "self-signed certificate", selfSigned),
    "unknown authority": (HOST, "unable to get local issuer", lambda: FOREIGN.issue(dns(HOST))),
    "expired": (HOST, "has expired", lambda: ROOT.issue(dns(HOST), begin=NOW - 9 * DAY, days=8)),
    "not yet valid": (HOST, "not yet valid", lambda: ROOT.issue(dns(HOST), begin=NOW + DAY)),
    "another host": (HOST, "Hostname mismatch", lambda: ROOT.issue(dns("other.test"))),
    "common name only": (HOST, "Hostname mismatch", lambda: ROOT.issue([], common=HOST)),
    "wildcard of everything": (HOST, "Hostname mismatch", lambda: ROOT.issue(dns("*.test"))),
    "partial wildcard": ("www.server.test", "Hostname mismatch", lambda: ROOT.issue(dns("w*.server.test"))),
    "wildcard of two labels": ("a.b.server.test", "Hostname mismatch", lambda: ROOT.issue(dns("*.server.test"))),
    "another address": (LOOPBACK, "IP address mismatch", lambda: ROOT.issue(address("127.0.0.2"))),
    "an address as a name": (LOOPBACK, "IP address mismatch", lambda: ROOT.issue(dns(LOOPBACK))),
    "NUL in a name": (HOST, "Hostname mismatch", lambda: ROOT.issue(dns(HOST + "\0.evil.test"))),
    "for clients only": (
        HOST,
        "unsuitable certificate purpose",
        lambda: ROOT.issue(dns(HOST), usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    ),
    "issuer is no authority": (HOST, "invalid CA certificate", lambda: NO_CA.issue(dns(HOST), chain=(NO_CA,))),
    "weak key": (HOST, "key too weak", lambda: ROOT.issue(dns(HOST), key=rsa.generate_private_key(65537, 1024))),
    "SHA-1": (HOST, "digest algorithm too weak", sha1Signed),
    "wildcard of all": (HOST, "Hostname mismatch", lambda: ROOT.issue(dns("*"))),
    "wildcard in the middle": ("www.server.test", "Hostname mismatch", lambda: ROOT.issue(dns("www.*.test"))),
    "wildcard inside a label": ("foo.server.test", "Hostname mismatch", lambda: ROOT.issue(dns("f*o.server.test"))),
    "wildcard over an address": (LOOPBACK, "IP address mismatch", lambda: ROOT.issue(dns("*.0.0.1", "*"))),
    "address as common name": (LOOPBACK, "IP address mismatch", lambda: ROOT.issue([], common=LOOPBACK)),
    "NUL in the common name": (HOST, "Hostname mismatch", lambda: ROOT.issue([], common=HOST + "\0.evil.test")),
    "expired intermediate": (HOST, "has expired", lambda: OVER.issue(dns(HOST), chain=(OVER,))),
    "too long a path": (HOST, "path length", lambda: BELOW_LAST.issue(dns(HOST), chain=(BELOW_LAST, LAST))),
    "authority for other names": (
        HOST,
        "permitted subtree violation",
        lambda: ELSEWHERE.issue(dns(HOST), chain=(ELSEWHERE,)),
    ),
    "unknown rule": (
        HOST,
        "unhandled critical extension",
        lambda: ROOT.issue(
            dns(HOST), extension=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        ),
    ),
    "missing intermediate": (HOST, "unable to get local issuer", lambda: MIDDLE.issue(dns(HOST))),
}
GOOD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "plain": (HOST, lambda: ROOT.issue(dns("other.test", HOST))),
    "wildcard": ("www.server.test", lambda: ROOT.issue(dns("*.server.test"))),
    "address": (LOOPBACK, lambda: ROOT.issue(address(LOOPBACK))),
    "with its intermediate": (HOST, lambda: MIDDLE.issue(dns(HOST), chain=(MIDDLE,))),
    "IPv6 address": ("::1", lambda: ROOT.issue(address("::1"))),
}


def weakContext(pem: bytes) -> ssl.SSLContext:
    """A server's, which would show anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(write("shown.pem", pem))
    return context
