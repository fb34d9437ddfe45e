"""A throwaway certificate hierarchy with the names of the real one (RFC 5280, all P-256).

    GL /                                root, path length 3
    ├── GL /services                    GL /services/scheduler, GL /services/files
    └── GL /users                       GL /users/nobody, GL /users/developer
        └── GL /users/<node id>         GL /users/<node id>/node, /users/<node id>/<device>

Every leaf carries DNS:localhost and both key usages, as the real ones do; those of the services can also be
reached by address.
"""

from __future__ import annotations

import datetime
import ipaddress
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signerd.core import csr
from signerd.core.keys import p256
from signerd.dev import files

CA_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SKEW = datetime.timedelta(days=1)
_LOOPBACK = ("127.0.0.1", "::1")
_SUBJECT = (
    (NameOID.COUNTRY_NAME, "US"),
    (NameOID.LOCALITY_NAME, "San Francisco"),
    (NameOID.ORGANIZATION_NAME, "Blockstream"),
    (NameOID.STATE_OR_PROVINCE_NAME, "California"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "CertificateAuthority"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """One end of a TLS connection: PEM chain (leaf first, without the root) and PKCS#8 PEM key."""

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority. `chain` is the PEM text that goes below a leaf: empty for the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: bytes


class Authority:
    """The hierarchy in one directory; what is missing there is made on first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = files.make_directory(directory)
        self.root = self._issuer("ca", "GL /", above=None, path_length=3)
        self._users = self._issuer("users", "GL /users", above=self.root, path_length=1)
        self._services = self._issuer("services", "GL /services", above=self.root, path_length=0)
        self.nobody = self._leaf("nobody", "GL /users/nobody", self._users)
        self.developer = self._leaf("developer", "GL /users/developer", self._users)
        self.scheduler = self._leaf(
            "scheduler", "GL /services/scheduler", self._services, addresses=_LOOPBACK
        )
        self.files = self._leaf("files", "GL /services/files", self._services, addresses=_LOOPBACK)

    @property
    def ca_pem(self) -> bytes:
        """The root certificate, PEM."""
        return _pem(self.root.certificate)

    def path(self, name: str) -> Path:
        """Where a file of the hierarchy is: `ca.pem`, `nobody.crt`, `nobody-key.pem`, …"""
        return self._directory / name

    def node(self, node_id: bytes) -> Identity:
        """The TLS identity of a node's own server."""
        user = node_id.hex()
        return self._leaf(f"users/{user}/node", f"GL /users/{user}/node", self._user(node_id))

    def device(
        self, node_id: bytes, request_pem: bytes, *, lifetime: datetime.timedelta, name: str | None = None
    ) -> bytes:
        """PEM chain for a certificate request, leaf first; `name` replaces the requested common name.

        A negative lifetime makes a certificate that expired that long ago.
        """
        with _long_names_allowed():
            request = x509.load_pem_x509_csr(request_pem)
            subject = request.subject if name is None else _renamed(request.subject, name)
        issuer = self._user(node_id)
        leaf = _sign_leaf(subject, request.public_key(), issuer, lifetime=lifetime)
        return _pem(leaf) + issuer.chain

    def _user(self, node_id: bytes) -> Issuer:
        user = node_id.hex()
        files.make_directory(self._directory / "users" / user)
        return self._issuer(f"users/{user}/ca", f"GL /users/{user}", above=self._users, path_length=0)

    def _issuer(self, file: str, name: str, *, above: Issuer | None, path_length: int) -> Issuer:
        certificate_path, key_path = self.path(f"{file}.pem"), self.path(f"{file}-key.pem")
        if certificate_path.exists() and key_path.exists():
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = p256.load_private_key(key_path.read_bytes())
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _sign_issuer(_subject(name), key, above, path_length)
            files.write(key_path, p256.private_key_pem(key))
            files.write(certificate_path, _pem(certificate))
        chain = b"" if above is None else _pem(certificate) + above.chain
        return Issuer(certificate, key, chain)

    def _leaf(self, file: str, name: str, issuer: Issuer, *, addresses: Sequence[str] = ()) -> Identity:
        chain_path, key_path = self.path(f"{file}.crt"), self.path(f"{file}-key.pem")
        if not (chain_path.exists() and key_path.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            leaf = _sign_leaf(
                _subject(name), key.public_key(), issuer, lifetime=CA_LIFETIME, addresses=addresses
            )
            files.write(key_path, p256.private_key_pem(key))
            files.write(chain_path, _pem(leaf) + issuer.chain)
        return Identity(chain_path.read_bytes(), key_path.read_bytes())


def _sign_issuer(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, above: Issuer | None, path_length: int
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(subject, key.public_key(), above, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority(above.key if above else key), critical=False)
    )
    return builder.sign(above.key if above else key, hashes.SHA256())


def _sign_leaf(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    issuer: Issuer,
    *,
    lifetime: datetime.timedelta,
    addresses: Sequence[str] = (),
) -> x509.Certificate:
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, public_key, issuer, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority(issuer.key), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    issuer: Issuer | None,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    start = now + min(lifetime, datetime.timedelta()) - _CLOCK_SKEW
    with _long_names_allowed():
        above = subject if issuer is None else issuer.certificate.subject
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(now + lifetime)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [_common_name(common_name), *(x509.NameAttribute(oid, value) for oid, value in _SUBJECT)]
    )


def _renamed(subject: x509.Name, common_name: str) -> x509.Name:
    others = [attribute for attribute in subject if attribute.oid != NameOID.COMMON_NAME]
    return x509.Name([_common_name(common_name), *others])


def _common_name(text: str) -> x509.NameAttribute[str | bytes]:
    """A common name of any length: the library builds none over 64 characters, but reads them."""
    request = csr.build(ec.generate_private_key(ec.SECP256R1()), text)
    with _long_names_allowed():
        return x509.load_pem_x509_csr(request).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0]


@contextmanager
def _long_names_allowed() -> Iterator[None]:
    with warnings.catch_warnings():
        # The library warns of common names over 64 characters, which are the rule here.
        warnings.simplefilter("ignore", UserWarning)
        yield


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    # Python 3.13 verifies strictly (RFC 5280, 4.2.1.1), and refuses a chain without it.
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
