"""The devices' side of a pairing: what the new one asks for, and what the approving one checks first."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import csr, pairing
from signerd.core.keys import p256
from signerd.core.runes import check
from signerd.core.runes.explain import explain
from signerd.errors import MalformedMessage, Refused
from signerd.units import NodeId, UnixTime

QR_PREFIX = "gl-pairing:"
_DEVICE_ID_DIGITS = 2 * p256.PUBLIC_KEY_SIZE


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What a new device sends: `device_id` is its public key (130 hex digits), `csr` PEM."""

    device_id: str
    csr: bytes
    device_name: str
    description: str
    restrictions: str

    @property
    def qr_text(self) -> str:
        """What the approving device scans."""
        return QR_PREFIX + self.device_id


def new_device(
    key: ec.EllipticCurvePrivateKey, *, device_name: str, description: str, restrictions: str
) -> NewDevice:
    """A request for `key`, bound to it, and narrowed further by `restrictions` (may be empty).

    Raises Refused for a name or restrictions that a careful signer refuses.
    """
    device_id = p256.public_bytes(key).hex()
    text = f"pubkey={device_id}" + (f"&{restrictions}" if restrictions else "")
    pairing.read_restrictions(text)
    pairing.require_device_name(device_name)
    request = csr.build(key, csr.pairing_common_name(device_name))
    return NewDevice(device_id, request, device_name, description, text)


def device_id_of(qr_text: str) -> str:
    """The device id in the text of a QR code. Raises MalformedMessage."""
    text = qr_text.strip()
    if not text.startswith(QR_PREFIX):
        raise MalformedMessage(
            f"a pairing code begins with {QR_PREFIX}", hint="copy the whole line that the new device shows"
        )
    device_id = text.removeprefix(QR_PREFIX)
    if not _is_device_id(device_id):
        raise MalformedMessage(
            f"a pairing code ends in the {_DEVICE_ID_DIGITS} lower-case hex digits of the new device's key",
            hint="copy the whole line that the new device shows",
        )
    return device_id


def check_request(asked: NewDevice) -> list[str]:
    """That a request is what it seems; its restrictions in words.

    The device's key must have signed the certificate request, and exactly one restriction must bind the
    rune to that key, with no other mention of a key. A text search for it can be fooled; this parses.
    Raises Refused.
    """
    try:
        request = csr.read(asked.csr)
        restrictions = pairing.read_restrictions(asked.restrictions)
    except MalformedMessage as problem:
        raise Refused("pairing-data", f"the new device's request: {problem.message}") from problem
    if request.public_key.hex() != asked.device_id:
        raise Refused("pairing-data", "the certificate request is for another key than the pairing code")
    if not request.signature_valid:
        raise Refused("pairing-data", "the certificate request is not signed by the key that it names")
    pairing.require_device_name(asked.device_name)
    naming_a_key = [item for item in restrictions if any(a.field == "pubkey" for a in item.alternatives)]
    if len(naming_a_key) != 1 or not check.is_bound(restrictions, asked.device_id):
        raise Refused(
            "pairing-data",
            "the restrictions do not bind the new rune to the new device, and to it alone",
            hint="do not approve; start the pairing anew on a device that you trust",
        )
    return [explain(item) for item in restrictions]


def approve(asked: NewDevice, *, key: ec.EllipticCurvePrivateKey, node_id: NodeId, now: UnixTime) -> bytes:
    """The approving device's signature: 64 bytes r || s, P-256."""
    return p256.sign(
        key,
        pairing.signed_bytes(
            device_id=asked.device_id,
            timestamp=now,
            node_id=node_id,
            device_name=asked.device_name,
            restrictions=asked.restrictions,
        ),
    )


def _is_device_id(text: str) -> bool:
    hexadecimal = len(text) == _DEVICE_ID_DIGITS and all(c in "0123456789abcdef" for c in text)
    return hexadecimal and p256.is_point(bytes.fromhex(text))
