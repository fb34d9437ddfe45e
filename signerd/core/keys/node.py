"""The node secret and every key that follows from it: node key, BIP 32, bolt12, runes, states, channels."""

from __future__ import annotations

import enum
import hashlib
from functools import lru_cache, partial
from typing import Self

from signerd.core.keys import bip32, secp256k1
from signerd.core.keys.channel import ChannelKeys
from signerd.core.keys.hkdf import hkdf_sha256
from signerd.core.keys.secp256k1 import Nonce
from signerd.errors import Refused, SecretError
from signerd.units import Network, NodeId, Secret

SECRET_SIZE = 32
SEED_SIZE = 64
LIGHTNING_MESSAGE_TAG = b"Lightning Signed Message:"
BITCOIN_MESSAGE_TAG = b"\x18Bitcoin Signed Message:\n"
MAX_SIGNED_MESSAGE = 65535

BIP86_ACCOUNT = (bip32.HARDENED + 86, bip32.HARDENED, bip32.HARDENED)

_XPUB = bytes.fromhex("0488b21e")
_TPUB = bytes.fromhex("043587cf")


class SecretKind(enum.IntEnum):
    """How a node's secret is kept; the values are hsmd's own (type 114, `hsm_secret_type`)."""

    PLAIN = 0
    ENCRYPTED = 1
    WORDS = 2
    WORDS_WITH_PASSPHRASE = 3

    @property
    def words(self) -> bool:
        """Whether the secret is the 64-byte seed of BIP 39 words, all of which Core Lightning uses."""
        return self in (SecretKind.WORDS, SecretKind.WORDS_WITH_PASSPHRASE)


class NodeKeys:
    """All keys of one node. Holds secrets, shows none."""

    __slots__ = (
        "_account",
        "_account_point",
        "_bip86",
        "_bolt12",
        "_channel",
        "_derived_base",
        "_node_secret",
        "_wallet",
        "_wallet_key",
        "_wallet_point",
        "bolt12_key",
        "kind",
        "node_id",
        "rune_secret",
        "state_secret",
    )

    kind: SecretKind
    node_id: NodeId
    """33 bytes: the compressed node key, by which the network knows the node (BOLT 8)."""
    bolt12_key: bytes
    """33 bytes: the public key at m/9735'."""
    rune_secret: Secret
    """32 bytes: the secret under which this node's runes are made."""
    state_secret: Secret
    """32 bytes: the secp256k1 key that signs state entries."""

    def __init__(self, secret: Secret, kind: SecretKind = SecretKind.PLAIN) -> None:
        raw, size = secret.expose(), SEED_SIZE if kind.words else SECRET_SIZE
        if len(raw) != size:
            raise SecretError(f"a node secret has {size} bytes, this one has {len(raw)}")
        self.kind = kind
        # Of a seed of 64 bytes, the node and its channels have the first half, all else has both.
        half = raw[:SECRET_SIZE]
        self._node_secret = Secret(_node_secret(half))
        self.node_id = NodeId(secp256k1.public_key(self._node_secret.expose()))
        root = bip32.master(hkdf_sha256(raw, b"bip32 seed"))
        # Core Lightning's wallet account is m/0/0, both steps normal.
        self._account = root.child(0).child(0)
        self._account_point = self._account.point
        self._bip86 = bip32.master(raw).descendant(*BIP86_ACCOUNT) if kind.words else None
        self._wallet = self._account if self._bip86 is None else self._bip86.child(0)
        self._wallet_point = self._wallet.point
        self._wallet_key = lru_cache(maxsize=256)(self._wallet.child)
        self._bolt12 = root.child(bip32.HARDENED + 9735)
        self.bolt12_key = self._bolt12.point
        channel_base = Secret(hkdf_sha256(half, b"peer seed"))
        # A thousand channels' keys are a megabyte or two, and save a millisecond on every request.
        self._channel = lru_cache(maxsize=1024)(partial(ChannelKeys.derive, channel_base))
        self._derived_base = Secret(hkdf_sha256(raw, b"derived secrets"))
        self.rune_secret = Secret(hkdf_sha256(half, b"gl-commando"))
        self.state_secret = Secret(hkdf_sha256(half, b"greenlight/state-signing/v1"))

    @classmethod
    def derive(cls, secret: Secret, kind: SecretKind = SecretKind.PLAIN) -> Self:
        """From the 32-byte node secret (`hsm_secret`), or from the 64-byte seed of a plain node's words.

        Raises SecretError for any other length. A hosted node always has 32 bytes, words or not.
        """
        return cls(secret, kind)

    def __repr__(self) -> str:
        return f"NodeKeys(node_id={self.node_id.hex()})"

    def ecdh(self, point: bytes) -> bytes:
        """SHA-256 of the compressed shared point of the node key and `point` (33 bytes): 32 bytes.

        hsmd type 1. Raises MalformedMessage if `point` is not on the curve.
        """
        return secp256k1.ecdh(self._node_secret.expose(), point)

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r || s || recovery id over a Lightning signed message, with the node key.

        The digest is the double SHA-256 of a fixed tag and the message (0 to 65535 bytes).
        """
        if len(message) > MAX_SIGNED_MESSAGE:
            raise ValueError("a signed message has at most 65535 bytes")
        return secp256k1.sign_recoverable(self._node_secret.expose(), message_digest(message))

    def sign_challenge(self, challenge: bytes) -> bytes:
        """64 bytes r || s over a 32-byte challenge of the scheduler. Raises ValueError for other lengths."""
        if len(challenge) != 32:
            raise ValueError("challenge is not 32 bytes long")
        return self.sign_message(challenge)[:64]

    def derived_secret(self, label: bytes) -> bytes:
        """32 bytes: the secret for a label (hsmd type 27)."""
        return hkdf_sha256(self._derived_base.expose(), label)

    def ext_key(self, network: Network) -> bytes:
        """78 bytes: the public key of m/0/0 in BIP 32's serialisation, without its check sum."""
        return self._account.public(_XPUB if network == "bitcoin" else _TPUB)

    def bip86_key(self, network: Network) -> bytes | None:
        """78 bytes: as `ext_key`, of m/86'/0'/0' (on every network); None where the secret is no words'."""
        if self._bip86 is None:
            return None
        return self._bip86.public(_XPUB if network == "bitcoin" else _TPUB)

    def account_pubkey(self, index: int) -> bytes:
        """33 bytes: the key m/0/0/index (hsmd type 28). `index` is below 2^31, else ValueError."""
        return bip32.public_child(self._account_point, self._account.chain_code, index)

    def wallet_pubkey(self, index: int) -> bytes:
        """33 bytes: the key that the wallet's outputs of this number have. Below 2^31, else ValueError.

        That is m/0/0/index, and m/86'/0'/0'/0/index where the secret is that of words (BIP 86), for outputs
        of every form.
        """
        return bip32.public_child(self._wallet_point, self._wallet.chain_code, index)

    def channel(self, peer_id: bytes, dbid: int) -> ChannelKeys:
        """Our keys of the channel with a peer (33 bytes) that has this number in the node's database."""
        return self._channel(peer_id, dbid)

    def sign_wallet(self, index: int, digest: bytes, nonce: Nonce) -> bytes:
        """64 bytes r || s with wallet key `index` over the digest of a transaction input."""
        return secp256k1.sign(self._wallet_secret(index), digest, nonce)

    def sign_wallet_taproot(self, index: int, digest: bytes) -> bytes:
        """BIP 340 signature (64 bytes) for the key path of a taproot output of wallet key `index`.

        Auxiliary randomness is zero, as Core Lightning's hsmd has it.
        """
        secret = secp256k1.taproot_secret(self._wallet_secret(index))
        return secp256k1.sign_schnorr(secret, digest, bytes(32))

    def sign_gossip(self, signed_part: bytes, nonce: Nonce) -> bytes:
        """64 bytes r || s with the node key over a gossip message after its signatures (BOLT 7).

        Raises Refused for what would be a signed message at the same time: both are hashed alike, and a
        gossip message has room for free text.
        """
        if signed_part.startswith(LIGHTNING_MESSAGE_TAG):
            raise Refused("sign-message", "this gossip message is made to be read as a signed message")
        return secp256k1.sign(self._node_secret.expose(), double_sha256(signed_part), nonce)

    def sign_invoice(self, hrp: bytes, data: bytes) -> bytes:
        """65 bytes r || s || recovery id over an invoice: its prefix and its packed data (BOLT 11)."""
        return secp256k1.sign_recoverable(self._node_secret.expose(), hashlib.sha256(hrp + data).digest())

    def sign_bolt12(self, message_name: str, field_name: str, merkle_root: bytes, tweak: bytes) -> bytes:
        """BIP 340 signature (64 bytes) over a BOLT 12 merkle root (hsmd type 25).

        With the node key if `tweak` is empty, else with the bolt12 key tweaked by it.
        """
        secret = self._node_secret.expose()
        if tweak:
            secret = _tweaked(self._bolt12.secret, self.bolt12_key, tweak)
        return secp256k1.sign_schnorr(secret, bolt12_digest(message_name, field_name, merkle_root), bytes(32))

    def sign_bolt12_as_node(
        self, message_name: str, field_name: str, merkle_root: bytes, *, label: bytes, tweak: bytes
    ) -> bytes:
        """As `sign_bolt12`, but what is tweaked is the node key, and by the label's secret (hsmd type 41)."""
        secret = self._node_secret.expose()
        if tweak:
            secret = _tweaked(secret, self.derived_secret(label), tweak)
        return secp256k1.sign_schnorr(secret, bolt12_digest(message_name, field_name, merkle_root), bytes(32))

    def sign_lease(self, funding_pubkey: bytes, expiry: int, base_msat: int, proportional: int) -> bytes:
        """64 bytes r || s over the terms of a lease that we sell (BOLT 2 option_will_fund; hsmd type 26).

        The block height of its end (32 bits), and the most we will charge for forwarding: the base fee
        (32 bits) and the proportional one in thousandths (16 bits).
        """
        terms = expiry.to_bytes(4, "big") + base_msat.to_bytes(4, "big") + proportional.to_bytes(2, "big")
        digest = hashlib.sha256(b"option_will_fund" + funding_pubkey + terms).digest()
        return secp256k1.sign_compact(self._node_secret.expose(), digest)

    def sign_bitcoin_message(self, index: int, message: bytes) -> bytes:
        """65 bytes r || s || recovery id with wallet key `index` (BIP 137; hsmd type 45).

        `message` has at most 65535 bytes.
        """
        if len(message) > MAX_SIGNED_MESSAGE:
            raise ValueError("a signed message has at most 65535 bytes")
        size = bytes([len(message)]) if len(message) < 0xFD else b"\xfd" + len(message).to_bytes(2, "little")
        digest = double_sha256(BITCOIN_MESSAGE_TAG + size + message)
        return secp256k1.sign_recoverable(self._wallet_secret(index), digest)

    def sign_heartbeat(self, digest: bytes) -> bytes:
        """BIP 340 signature (64 bytes) over a 32-byte digest with the key of m/0/0.

        The auxiliary randomness is fixed at zero: BIP 340 allows it, and the core stays a function.
        """
        return secp256k1.sign_schnorr(self._account.secret, digest, bytes(32))

    def _wallet_secret(self, index: int) -> bytes:
        if not 0 <= index < bip32.HARDENED:
            raise ValueError("a wallet key has an index below 2^31")
        return self._wallet_key(index).secret


def message_digest(message: bytes) -> bytes:
    """32 bytes: what a Lightning signed message signs."""
    return double_sha256(LIGHTNING_MESSAGE_TAG + message)


def bolt12_digest(message_name: str, field_name: str, merkle_root: bytes) -> bytes:
    """32 bytes: what a BOLT 12 signature signs."""
    return secp256k1.tagged_hash(f"lightning{message_name}{field_name}".encode(), merkle_root)


def double_sha256(data: bytes) -> bytes:
    """32 bytes: SHA-256 of the SHA-256."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _tweaked(secret: bytes, base: bytes, tweak: bytes) -> bytes:
    return secp256k1.add_to_secret(secret, hashlib.sha256(base + tweak).digest())


def _node_secret(secret: bytes) -> bytes:
    # Core Lightning counts a little-endian salt up until the scalar is valid (chance 2^-127 per step).
    for counter in range(2**32):
        candidate = hkdf_sha256(secret, b"nodeid", salt=counter.to_bytes(4, "little"))
        if secp256k1.is_secret(candidate):
            return candidate
    raise SecretError("no valid node key follows from this secret")
