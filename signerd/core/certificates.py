"""Whose certificate is this, may we trust it, and how long does it last (RFC 5280)."""

from __future__ import annotations

import datetime
import itertools
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core.keys import p256, secp256k1
from signerd.errors import CredentialsError
from signerd.units import NodeId, UnixTime

_MAX_CHAIN = 8

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""What the library raises for certificates, requests and keys that it cannot read."""


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """A device's leaf certificate, read. `public_key` is 65 bytes, uncompressed P-256."""

    common_name: str
    node_id: NodeId
    device: str
    public_key: bytes
    not_before: UnixTime
    not_after: UnixTime


def load_chain(pem: bytes, *, what: str) -> list[x509.Certificate]:
    """Certificates of a PEM text, leaf first. Raises CredentialsError naming `what`."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise CredentialsError(f"{what} is not a readable PEM certificate") from error
    if len(chain) > _MAX_CHAIN:
        raise CredentialsError(f"{what} has {len(chain)} certificates, more than any honest chain")
    return chain


def common_name(certificate: x509.Certificate) -> str:
    """The one common name of the subject. Raises CredentialsError if there is not exactly one."""
    with warnings.catch_warnings():
        # The library warns of common names over 64 characters, which are the rule here.
        warnings.simplefilter("ignore")
        try:
            names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        except UNREADABLE as error:
            raise CredentialsError("the certificate has an unreadable subject") from error
    if len(names) != 1:
        raise CredentialsError("the certificate has no single common name")
    return str(names[0].value)


def issuer_common_name(certificate: x509.Certificate) -> str | None:
    """The one common name of the issuer, or None if there is not exactly one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            names = certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        except UNREADABLE:
            return None
    return str(names[0].value) if len(names) == 1 else None


def user_of(name: str) -> str | None:
    """The user part of a common name (`/users/<user>/…` or `GL /users/<user>…`), or None without one."""
    parts = name.split("/")
    return parts[2] if len(parts) >= 3 and parts[1] == "users" else None


def node_id_of(name: str) -> NodeId:
    """The node id in a device's common name. Raises CredentialsError if it holds none."""
    user = user_of(name)
    try:
        node_id = bytes.fromhex(user or "")
    except ValueError:
        node_id = b""
    # bytes.fromhex forgives blanks; a certificate name must not.
    if not secp256k1.is_point(node_id) or node_id.hex() != user:
        raise CredentialsError(
            f"the certificate {name!r} does not belong to a node",
            hint="credentials of a registered device are needed; run `signerd register` or `signerd recover`",
        )
    return NodeId(node_id)


def read_device(chain_pem: bytes) -> DeviceCertificate:
    """The leaf of a device's chain. Raises CredentialsError if it is not a device certificate."""
    leaf = load_chain(chain_pem, what="the device certificate")[0]
    name = common_name(leaf)
    return DeviceCertificate(
        common_name=name,
        node_id=node_id_of(name),
        device="/".join(name.split("/")[3:]),
        public_key=_p256_key(leaf),
        not_before=_unix(leaf.not_valid_before_utc),
        not_after=_unix(leaf.not_valid_after_utc),
    )


def check_device(
    chain_pem: bytes, *, ca_pem: bytes, node_id: bytes, public_key: bytes, now: UnixTime
) -> DeviceCertificate:
    """A device chain that is ours: right node, right key (65 bytes), valid now, signed up to the CA.

    Raises CredentialsError that says which of these fails.
    """
    device = read_device(chain_pem)
    if device.node_id != node_id:
        raise CredentialsError(
            f"the credentials belong to node {device.node_id.hex()}, the secret to {node_id.hex()}",
            hint="use the data directory of that node, or run `signerd recover` for this one",
        )
    if device.public_key != public_key:
        raise CredentialsError(
            "the device certificate does not fit the device key",
            hint="run `signerd recover` to get a new pair",
        )
    check_validity(device, now=now)
    check_chain(chain_pem, ca_pem=ca_pem, now=now)
    return device


def check_validity(device: DeviceCertificate, *, now: UnixTime) -> None:
    """Raises CredentialsError if the certificate has expired or is not valid yet."""
    if now > device.not_after:
        raise CredentialsError(
            f"the device certificate expired on {_date(device.not_after)}",
            hint="run `signerd recover` to get a new one",
        )
    if now < device.not_before:
        raise CredentialsError(
            f"the device certificate is valid only from {_date(device.not_before)} on",
            hint="check this machine's clock",
        )


def check_chain(chain_pem: bytes, *, ca_pem: bytes, now: UnixTime) -> None:
    """Follow the signatures from the leaf up to the CA. Raises CredentialsError where they break."""
    chain = load_chain(chain_pem, what="the device certificate")
    roots = load_chain(ca_pem, what="the CA certificate")
    for below, above in itertools.pairwise(chain):
        if any(_issued(below, root) for root in roots):
            break
        if not _issued(below, above) or not _may_issue(above, now):
            raise CredentialsError(
                f"the certificate {common_name(below)!r} is not signed by the next one in its chain"
            )
    else:
        below = chain[-1]
    if not any(below == root or (_issued(below, root) and _may_issue(root, now)) for root in roots):
        raise CredentialsError(
            "the device certificate does not lead to the CA in use",
            hint="check `scheduler.ca_file` and GL_CA_CRT; credentials of another service do not fit",
        )


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _may_issue(certificate: x509.Certificate, now: UnixTime) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    fresh = _unix(certificate.not_valid_before_utc) <= now <= _unix(certificate.not_valid_after_utc)
    return constraints.ca and fresh


def _p256_key(certificate: x509.Certificate) -> bytes:
    try:
        key = certificate.public_key()
    except UNREADABLE as error:
        raise CredentialsError("the certificate's public key is not readable") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialsError("the device certificate is not for a P-256 key")
    return p256.public_bytes(key)


def _unix(moment: datetime.datetime) -> UnixTime:
    return UnixTime(int(moment.timestamp()))


def _date(moment: UnixTime) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date().isoformat()
