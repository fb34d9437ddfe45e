"""The certificate request of a device, byte for byte as the reference client builds it (PKCS#10, RFC 2986).

The DER is written by hand: common names here have up to 81 characters and more, and X.520's upper bound
of 64 makes the usual builders refuse them.
"""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core.certificates import UNREADABLE
from signerd.core.keys import p256
from signerd.errors import MalformedMessage

PAIRING_USER = "3030"
"""What a new device puts where the node id belongs: the scheduler replaces it."""

_SEQUENCE, _SET, _OID, _UTF8, _INTEGER, _BIT_STRING, _OCTETS = 0x30, 0x31, 0x06, 0x0C, 0x02, 0x03, 0x04
_ATTRIBUTES = 0xA0
_DNS_NAME = 0x82

# id-at-* of RFC 5280 in the order in which the reference client writes them.
_COMMON_NAME = bytes.fromhex("550403")
_FIXED_SUBJECT = (
    (bytes.fromhex("550406"), "US"),
    (bytes.fromhex("550407"), "SAN FRANCISCO"),
    (bytes.fromhex("55040a"), "Blockstream"),
    (bytes.fromhex("550408"), "CALIFORNIA"),
    (bytes.fromhex("55040b"), "CertificateAuthority"),
)
_EXTENSION_REQUEST = bytes.fromhex("2a864886f70d01090e")
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_ECDSA_WITH_SHA256 = bytes.fromhex("2a8648ce3d040302")


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What matters of a certificate request: `public_key` is 65 bytes, uncompressed P-256."""

    common_name: str
    public_key: bytes
    signature_valid: bool


def common_name(node_id: bytes, device: str) -> str:
    """The common name of a device's certificate: /users/<node id in hex>/<device name>."""
    return f"/users/{node_id.hex()}/{device}"


def pairing_common_name(device: str) -> str:
    """The common name that a new device asks for before it knows the node it will belong to."""
    return f"/users/{PAIRING_USER}/{device}"


def build(private_key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """PEM (64 columns, CRLF) of a request for `name`, signed with `private_key`."""
    subject = _sequence(_attribute(_COMMON_NAME, name), *(_attribute(o, v) for o, v in _FIXED_SUBJECT))
    public_info = private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    alt_name = _sequence(
        _tlv(_OID, _SUBJECT_ALT_NAME), _tlv(_OCTETS, _sequence(_tlv(_DNS_NAME, b"localhost")))
    )
    extension_request = _sequence(_tlv(_OID, _EXTENSION_REQUEST), _tlv(_SET, _sequence(alt_name)))
    info = _sequence(_tlv(_INTEGER, b"\x00"), subject, public_info, _tlv(_ATTRIBUTES, extension_request))
    signature = private_key.sign(info, ec.ECDSA(hashes.SHA256()))
    request = _sequence(
        info, _sequence(_tlv(_OID, _ECDSA_WITH_SHA256)), _tlv(_BIT_STRING, b"\x00" + signature)
    )
    return _pem("CERTIFICATE REQUEST", request)


def read(pem: bytes) -> CertificateRequest:
    """Dissect a request. Raises MalformedMessage if it is no PEM request for a P-256 key with one name."""
    with warnings.catch_warnings():
        # The library warns of long common names, which are the rule here.
        warnings.simplefilter("ignore")
        try:
            request = x509.load_pem_x509_csr(pem)
            names = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            public_key = request.public_key()
        except UNREADABLE as error:
            raise MalformedMessage("the certificate request is not readable") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise MalformedMessage("the certificate request is not for a P-256 key")
    if len(names) != 1:
        raise MalformedMessage("the certificate request has no single common name")
    return CertificateRequest(str(names[0].value), p256.public_bytes(public_key), _signed(request))


def _signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, *UNREADABLE):
        return False


def _attribute(oid: bytes, value: str) -> bytes:
    return _tlv(_SET, _sequence(_tlv(_OID, oid), _tlv(_UTF8, value.encode("utf-8"))))


def _sequence(*parts: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(parts))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\r\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode("ascii")
