"""A throwaway certificate hierarchy of Greenlight's shape: GL /, GL /users, and leaves below."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signerd.greenlight.transport import Identity

_USAGE = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A leaf with its chain (PEM, leaf first), its key (PEM PKCS#8) and the root."""

    chain: bytes
    key: bytes
    ca: bytes

    @property
    def identity(self) -> Identity:
        return Identity(cert_chain=self.chain, private_key=self.key, ca=self.ca)

    @property
    def der(self) -> bytes:
        leaf = x509.load_pem_x509_certificates(self.chain)[0]
        return leaf.public_bytes(serialization.Encoding.DER)


class Authority:
    """A root `GL /` with an intermediate `GL /users`, made anew."""

    def __init__(self, issuer_name: str = "GL /users") -> None:
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        root = _certificate("GL /", self._root_key.public_key(), "GL /", self._root_key, ca=True)
        between = _certificate(issuer_name, self._key.public_key(), "GL /", self._root_key, ca=True)
        self._issuer_name = issuer_name
        self._between = _pem(between)
        self.ca = _pem(root)

    def issue(
        self,
        name: str,
        *,
        public_key: ec.EllipticCurvePublicKey | None = None,
        dns: Sequence[str] = ("localhost",),
        usage: Sequence[str] = ("server", "client"),
        age: datetime.timedelta = DAY,
        left: datetime.timedelta = DAY,
    ) -> Issued:
        """A leaf with the common name `name`; for `public_key`, or a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(
            name, public_key or key.public_key(), self._issuer_name, self._key,
            dns=dns, usage=usage, age=age, left=left,
        )  # fmt: skip
        return Issued(_pem(leaf) + self._between, b"" if public_key else key_pem(key), self.ca)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(
    subject: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    dns: Sequence[str] = (),
    usage: Sequence[str] = (),
    age: datetime.timedelta = DAY,
    left: datetime.timedelta = DAY,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now + left)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns])
        builder = builder.add_extension(names, critical=False)
    if usage:
        extended = x509.ExtendedKeyUsage([_USAGE[word] for word in usage])
        builder = builder.add_extension(extended, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    with warnings.catch_warnings():
        # Greenlight's names are longer than X.520 allows.
        warnings.simplefilter("ignore")
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
