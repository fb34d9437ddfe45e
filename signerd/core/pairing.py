"""May this device be paired, and with which rune?

1. The approving device signed these very fields for this node, minutes ago, and we have not answered it yet.
2. Its rune is ours, allows `approvepairing`, and can be used by its key alone.
3. The new rune can be used by the new device's key alone, and says what the approving user read.
4. The new rune allows nothing that the approving rune forbids (unless `allow_widening`).
5. Neither device was revoked.
6. A refusal is a value with a rule in it. It carries nothing that could be remembered or answered.
"""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from signerd.core import devices
from signerd.core.keys import p256
from signerd.core.runes.check import FIELDS, CallContext, check, is_bound
from signerd.core.runes.compare import holds
from signerd.core.runes.explain import briefly
from signerd.core.runes.implies import first_not_implied
from signerd.core.runes.restriction import parse_restriction, parse_restrictions
from signerd.core.runes.rune import Rune, mint
from signerd.errors import MalformedMessage, Refused
from signerd.units import UnixTime

if TYPE_CHECKING:
    from signerd.core.keys.node import NodeKeys
    from signerd.core.runes.restriction import Restriction
    from signerd.units import NodeId

METHOD = "approvepairing"
# Characters; honest ones have some hundreds. A rune is parsed before anybody has proved anything.
MAX_NAME, MAX_RESTRICTIONS, MAX_RUNE = 16 * 1024, 128 * 1024, 16 * 1024

_DEVICE_ID = re.compile(r"04[0-9a-f]{128}")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# The signed bytes do not say where the name ends and the restrictions begin. A name without the characters
# that end a field cannot have swallowed a restriction. Controls would let it lie to whoever reads a log.
_BORDER = re.compile(r"[=/^$~<>{}#!&|\\]")
# Protobuf yields no such text, but another caller of `decide` could.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SEND_AGAIN = "pair again, with a device that follows the protocol"


class PairingRule(enum.StrEnum):
    """Why an approval is refused, in the order of the checks. The names are stable."""

    POLICY = "pairing-denied-by-policy"
    SIZE = "pairing-size"
    DEVICE_ID = "pairing-device-id"
    DEVICE_NAME = "pairing-device-name"
    STALE = "pairing-stale"
    FUTURE = "pairing-from-the-future"
    SIGNATURE = "pairing-signature"
    RUNE_UNDECODABLE = "pairing-rune-undecodable"
    RUNE_AUTHCODE = "pairing-rune-authcode"
    RUNE_ID = "pairing-rune-id"
    RUNE_METHOD = "pairing-rune-method"
    RUNE_PUBKEY = "pairing-rune-pubkey"
    RUNE_TIME = "pairing-rune-time"
    RUNE_UNKNOWN_FIELD = "pairing-rune-unknown-field"
    RUNE_RESTRICTION = "pairing-rune-restriction"
    RUNE_UNBOUND = "pairing-rune-unbound"
    RUNE_REVOKED = "pairing-rune-revoked"
    GRAMMAR = "pairing-restrictions-grammar"
    AMBIGUOUS = "pairing-restrictions-ambiguous"
    BORDER = "pairing-restrictions-border"
    UNBOUND = "pairing-not-bound-to-device"
    DEVICE_REVOKED = "pairing-device-revoked"
    WIDENING = "pairing-widening"
    REPLAYED = "pairing-replayed"
    REGISTER_FULL = "pairing-register-full"
    INBOX_FULL = "pairing-inbox-full"
    OWNER = "pairing-denied-by-owner"
    EXPIRED = "pairing-expired"
    STORE_FAILING = "pairing-store-failing"


@dataclass(frozen=True, slots=True)
class PairingApproval:
    """What an approving device sent. `timestamp` in seconds; `sig` 64 and `pubkey` 65 bytes, its own."""

    device_id: str
    timestamp: int
    device_name: str
    restrictions: str
    sig: bytes
    pubkey: bytes
    rune: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PairingPolicy:
    """`attested`: what a paired device approves; `confirm`: that, once a person agrees; `deny`: nothing.

    Ages in seconds, against our own clock. `decide` is the same for the first two: who holds what waits for a
    person asks it twice, when the approval comes and when the person agrees.
    """

    mode: Literal["attested", "confirm", "deny"] = "attested"
    allow_widening: bool = False
    max_age_seconds: int = 300
    max_ahead_seconds: int = 60


class SeenApprovals(Protocol):
    """The digests of approvals that were answered; a frozenset will do."""

    def __contains__(self, digest: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Approved:
    """Answer with `rune` (base64), and remember `digest` (32 bytes) until `expires` has passed."""

    device_id: str
    node_id: NodeId
    rune: str = field(repr=False)
    digest: bytes
    expires: UnixTime
    restrictions: tuple[str, ...]
    """What the new rune demands beside its id, for the log."""
    granted: Rune = field(repr=False)
    """The new rune as a value."""


@dataclass(frozen=True, slots=True)
class Denied:
    """`rule` is for programs, `reason` and `hint` are for people."""

    rule: PairingRule
    reason: str
    hint: str | None = None


def decide(  # noqa: PLR0917 - each is a thing of its own, and everybody has them all
    approval: PairingApproval,
    keys: NodeKeys,
    policy: PairingPolicy,
    seen: SeenApprovals,
    now: UnixTime,
    revoked: devices.RevokedKeys = frozenset(),
) -> Approved | Denied:
    """The whole decision. Raises nothing on account of what `approval` holds."""
    try:
        return _decide(approval, keys, policy, seen, now, revoked)
    except Refused as refusal:
        return Denied(PairingRule(refusal.rule), refusal.message, refusal.hint)


def signed_bytes(
    *, device_id: str, timestamp: int, node_id: NodeId, device_name: str, restrictions: str
) -> bytes:
    """What the approving device signs: no lengths and no separators, texts as UTF-8.

    device_id (130) || timestamp (8, big-endian) || node_id (33) || device_name || restrictions
    """
    head = device_id.encode() + timestamp.to_bytes(8, "big") + node_id
    return head + device_name.encode() + restrictions.encode()


def require_device_name(name: str) -> None:
    """Refuse a name that cannot be told from restrictions, or that lies to a terminal. Raises Refused."""
    # The joiner is what makes one picture of two; every other invisible character only hides something.
    bad = next((c for c in name if _BORDER.match(c) or not (c.isprintable() or c == "\u200d")), None)
    if bad is not None:
        raise Refused(
            PairingRule.DEVICE_NAME,
            f"the device name contains {bad!a}",
            hint=r"name the device without control characters and without any of \=/^$~<>{}#!&|",
        )


def _decide(  # noqa: PLR0917 - as above
    approval: PairingApproval,
    keys: NodeKeys,
    policy: PairingPolicy,
    seen: SeenApprovals,
    now: UnixTime,
    revoked: devices.RevokedKeys,
) -> Approved:
    if policy.mode == "deny":
        raise Refused(
            PairingRule.POLICY,
            "this signer approves no pairings",
            hint='set pairing.policy to "attested" to let paired devices approve others',
        )
    _require_readable(approval)
    _require_fresh(approval, policy, now)
    _require_signature(approval, keys.node_id)
    approver = _approving_rune(approval, keys, now, revoked)
    restrictions = _requested(approval)
    if bytes.fromhex(approval.device_id) in revoked:
        raise Refused(
            PairingRule.DEVICE_REVOKED,
            "the new device's key was revoked",
            hint="pair the device anew, with a new key",
        )
    granted = mint(keys.rune_secret, restrictions)
    if not policy.allow_widening:
        _require_narrower(granted, approver, approval.pubkey.hex())
    digest = digest_of(approval)
    if digest in seen:
        raise Refused(
            PairingRule.REPLAYED,
            "this approval was answered before",
            hint="approve again on the device: each approval counts once",
        )
    return Approved(
        device_id=approval.device_id,
        node_id=keys.node_id,
        rune=granted.to_base64(),
        digest=digest,
        expires=UnixTime(approval.timestamp + policy.max_age_seconds + policy.max_ahead_seconds),
        restrictions=tuple(item.text for item in restrictions),
        granted=granted,
    )


def _require_readable(approval: PairingApproval) -> None:
    for what, text, limit in (
        ("name", approval.device_name, MAX_NAME),
        ("restrictions", approval.restrictions, MAX_RESTRICTIONS),
        ("rune", approval.rune, MAX_RUNE),
    ):
        if len(text) > limit:
            raise Refused(PairingRule.SIZE, f"the {what} exceeds {limit} characters", hint=_SEND_AGAIN)
    if not _DEVICE_ID.fullmatch(approval.device_id) or not p256.is_point(bytes.fromhex(approval.device_id)):
        raise Refused(
            PairingRule.DEVICE_ID,
            "the device id is not a P-256 public key in lower-case hex (130 digits)",
            hint="the id is the key of the new device, as its QR code shows it",
        )
    require_device_name(approval.device_name)
    if _SURROGATE.search(approval.restrictions):
        raise Refused(PairingRule.GRAMMAR, "the restrictions cannot be written as UTF-8", hint=_SEND_AGAIN)


def _require_fresh(approval: PairingApproval, policy: PairingPolicy, now: UnixTime) -> None:
    age = now - approval.timestamp
    if age > policy.max_age_seconds:
        raise Refused(
            PairingRule.STALE,
            f"the approval is {age} s old; {policy.max_age_seconds} s are allowed",
            hint="approve again, and compare the clocks of the device and of this machine",
        )
    if -age > policy.max_ahead_seconds:
        raise Refused(
            PairingRule.FUTURE,
            f"the approval is dated {-age} s ahead; {policy.max_ahead_seconds} s are allowed",
            hint="set the clock of the approving device or of this machine",
        )


def _require_signature(approval: PairingApproval, node_id: NodeId) -> None:
    message = signed_bytes(
        device_id=approval.device_id,
        timestamp=approval.timestamp,
        node_id=node_id,
        device_name=approval.device_name,
        restrictions=approval.restrictions,
    )
    if not p256.verify(approval.pubkey, approval.sig, message):
        raise Refused(
            PairingRule.SIGNATURE,
            "the approval was not signed by the key that it names",
            hint="the signature has 64 bytes, r and s, over all fields and this node's id",
        )


def _approving_rune(
    approval: PairingApproval, keys: NodeKeys, now: UnixTime, revoked: devices.RevokedKeys
) -> Rune:
    try:
        approver = Rune.from_base64(approval.rune)
    except MalformedMessage as error:
        raise Refused(
            PairingRule.RUNE_UNDECODABLE, f"the approving rune: {error.message}", hint=error.hint
        ) from error
    context = CallContext(method=METHOD, pubkey=approval.pubkey.hex(), time=now)
    try:
        check(approver, keys.rune_secret, context)
        devices.require_standing(approval.pubkey, revoked)
    except Refused as refusal:
        raise Refused(
            PairingRule(f"pairing-{refusal.rule}"),
            f"the approving rune: {refusal.message}",
            hint=refusal.hint,
        ) from refusal
    return approver


def read_restrictions(text: str) -> tuple[Restriction, ...]:
    """The restrictions of a pairing, if every signer reads them alike. Raises Refused."""
    try:
        # The reference signer splits at every ampersand, also where a backslash stands before it.
        restrictions = tuple(parse_restriction(part) for part in text.split("&"))
        intended = parse_restrictions(text)
    except MalformedMessage as error:
        raise Refused(PairingRule.GRAMMAR, f"the restrictions: {error.message}", hint=error.hint) from error
    if restrictions != intended:
        raise Refused(
            PairingRule.AMBIGUOUS,
            "the restrictions hold an escaped ampersand, at which signers disagree",
            hint="pair without ampersands in values",
        )
    return restrictions


def _requested(approval: PairingApproval) -> tuple[Restriction, ...]:
    """The new rune's restrictions, if they can be read in one way only and bind it to the device."""
    restrictions = read_restrictions(approval.restrictions)
    first = restrictions[0].alternatives[0]
    if first.field not in FIELDS and first.op != "#" and (holds(first, None) or holds(first, "")):
        # `method/pay` becomes `od/pay`, which forbids nothing, where a relay makes `meth` part of the name.
        raise Refused(
            PairingRule.BORDER,
            f"the restrictions begin with an unknown field {first.field!a}, which may be part of the name",
            hint="begin the restrictions with the one on pubkey",
        )
    if not is_bound(restrictions, approval.device_id):
        raise Refused(
            PairingRule.UNBOUND,
            "the restrictions do not bind the new rune to the new device",
            hint="one restriction must be exactly pubkey=DEVICE_ID, without alternatives",
        )
    return restrictions


def _require_narrower(granted: Rune, approver: Rune, pubkey: str) -> None:
    inherited = [
        item
        for item in approver.restrictions
        if not is_bound((item,), pubkey) and not (item.only and not item.only.field)
    ]
    missing = first_not_implied(granted.restrictions, inherited)
    if missing is not None:
        raise Refused(
            PairingRule.WIDENING,
            f"the approving rune demands that {briefly(missing)}, and the new one does not",
            hint="ask for the same restriction, or approve with an unrestricted device",
        )


def digest_of(approval: PairingApproval) -> bytes:
    """By which an approval is recognised: 32 bytes. (r, s) and (r, n - s) count as the same signature."""
    s = int.from_bytes(approval.sig[32:], "big")
    sig = approval.sig[:32] + min(s, _P256_ORDER - s).to_bytes(32, "big")
    digest = hashlib.sha256()
    for part in (approval.device_id.encode(), approval.timestamp.to_bytes(8, "big"), sig):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
