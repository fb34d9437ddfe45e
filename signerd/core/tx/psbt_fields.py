"""The key types of a PSBT and the form of each (BIP 174, BIP 370, BIP 371)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from embit.hashes import double_sha256, hash160, ripemd160, sha256

from signerd.core.keys import secp256k1
from signerd.core.tx import script, sighash
from signerd.core.tx.psbt_map import KeyForm, Map
from signerd.errors import MalformedMessage

GLOBAL_TX = 0x00
GLOBAL_XPUB = 0x01
GLOBAL_TX_VERSION = 0x02
GLOBAL_FALLBACK_LOCKTIME = 0x03
GLOBAL_INPUT_COUNT = 0x04
GLOBAL_OUTPUT_COUNT = 0x05
GLOBAL_TX_MODIFIABLE = 0x06
GLOBAL_VERSION = 0xFB

IN_NON_WITNESS_UTXO = 0x00
IN_WITNESS_UTXO = 0x01
IN_PARTIAL_SIGNATURE = 0x02
IN_SIGHASH = 0x03
IN_REDEEM_SCRIPT = 0x04
IN_WITNESS_SCRIPT = 0x05
IN_ORIGIN = 0x06
IN_FINAL_SCRIPT_SIG = 0x07
IN_FINAL_WITNESS = 0x08
IN_RIPEMD160, IN_SHA256, IN_HASH160, IN_HASH256 = 0x0A, 0x0B, 0x0C, 0x0D
IN_PREVIOUS_TXID = 0x0E
IN_OUTPUT_INDEX = 0x0F
IN_SEQUENCE = 0x10
IN_TIME_LOCKTIME = 0x11
IN_HEIGHT_LOCKTIME = 0x12
IN_TAP_KEY_SIGNATURE = 0x13
IN_TAP_ORIGIN = 0x16
IN_TAP_INTERNAL_KEY = 0x17
IN_TAP_MERKLE_ROOT = 0x18

OUT_REDEEM_SCRIPT = 0x00
OUT_WITNESS_SCRIPT = 0x01
OUT_ORIGIN = 0x02
OUT_AMOUNT = 0x03
OUT_SCRIPT = 0x04
OUT_TAP_INTERNAL_KEY = 0x05
OUT_TAP_ORIGIN = 0x07

_HASHES: Mapping[int, Callable[[bytes], bytes]] = {
    IN_RIPEMD160: ripemd160, IN_SHA256: sha256, IN_HASH160: hash160, IN_HASH256: double_sha256,
}  # fmt: skip
MOST_PREIMAGES = 1_000
"""In a whole PSBT: nobody needs as many, and where OpenSSL has no RIPEMD-160 one takes 0.15 ms and more."""
_LONGEST_PUSH = 520
"""Bytes: the longest item of a stack (consensus)."""
_XPUB_VERSIONS = frozenset({bytes.fromhex("0488b21e"), bytes.fromhex("043587cf")})
"""BIP 32's, of public keys."""


def _is_signature(key: bytes, value: bytes) -> bool:
    """A key's ECDSA signature in DER, and the sighash byte."""
    try:
        secp256k1.from_der(value[:-1])
    except MalformedMessage:
        return False
    return value[-1] in sighash.SEGWIT_TYPES and secp256k1.is_public_key(key)


def _is_taproot_signature(_: bytes, value: bytes) -> bool:
    """64 bytes, and one more for a sighash type other than the default (BIP 341)."""
    return len(value) == 64 or value[64] in sighash.SEGWIT_TYPES


def _is_xpub(key: bytes, _: bytes) -> bool:
    return key[:4] in _XPUB_VERSIONS and secp256k1.is_point(key[45:])


_PLAIN = KeyForm()
_U32 = KeyForm(value_sizes=(4,))
_HASH = KeyForm(value_sizes=(32,))
_X_ONLY = KeyForm(value_sizes=(32,), sound=lambda _, value: secp256k1.is_x_only(value))
_ORIGIN = KeyForm(key_sizes=(33, 65), smallest=4, step=4, sound=lambda key, _: secp256k1.is_public_key(key))
_TAP_ORIGIN = KeyForm(key_sizes=(32,), sound=lambda key, _: secp256k1.is_x_only(key))

GLOBAL_FORMS: Mapping[int, KeyForm] = {
    GLOBAL_TX: _PLAIN,
    GLOBAL_XPUB: KeyForm(key_sizes=(78,), smallest=4, step=4, sound=_is_xpub),
    GLOBAL_TX_VERSION: _U32,
    GLOBAL_FALLBACK_LOCKTIME: _U32,
    GLOBAL_INPUT_COUNT: _PLAIN,
    GLOBAL_OUTPUT_COUNT: _PLAIN,
    GLOBAL_TX_MODIFIABLE: KeyForm(value_sizes=(1,)),
    GLOBAL_VERSION: _U32,
}
INPUT_FORMS: Mapping[int, KeyForm] = {
    IN_NON_WITNESS_UTXO: _PLAIN,
    IN_WITNESS_UTXO: _PLAIN,
    IN_PARTIAL_SIGNATURE: KeyForm(key_sizes=(33, 65), sound=_is_signature),
    IN_SIGHASH: _U32,
    IN_REDEEM_SCRIPT: _PLAIN,
    IN_WITNESS_SCRIPT: _PLAIN,
    IN_ORIGIN: _ORIGIN,
    IN_FINAL_SCRIPT_SIG: _PLAIN,
    IN_FINAL_WITNESS: _PLAIN,
    IN_RIPEMD160: KeyForm(key_sizes=(20,)),
    IN_SHA256: KeyForm(key_sizes=(32,)),
    IN_HASH160: KeyForm(key_sizes=(20,)),
    IN_HASH256: KeyForm(key_sizes=(32,)),
    IN_PREVIOUS_TXID: _HASH,
    IN_OUTPUT_INDEX: _U32,
    IN_SEQUENCE: _U32,
    IN_TIME_LOCKTIME: _U32,
    IN_HEIGHT_LOCKTIME: _U32,
    IN_TAP_KEY_SIGNATURE: KeyForm(value_sizes=(64, 65), sound=_is_taproot_signature),
    IN_TAP_ORIGIN: _TAP_ORIGIN,
    IN_TAP_INTERNAL_KEY: _X_ONLY,
    IN_TAP_MERKLE_ROOT: _HASH,
}
OUTPUT_FORMS: Mapping[int, KeyForm] = {
    OUT_REDEEM_SCRIPT: _PLAIN,
    OUT_WITNESS_SCRIPT: _PLAIN,
    OUT_ORIGIN: _ORIGIN,
    OUT_AMOUNT: KeyForm(value_sizes=(8,)),
    OUT_SCRIPT: _PLAIN,
    OUT_TAP_INTERNAL_KEY: _X_ONLY,
    OUT_TAP_ORIGIN: _TAP_ORIGIN,
}


def fingerprint(key: bytes) -> bytes:
    """4 bytes: how a key is named as the root of itself (BIP 32)."""
    return script.hash160_of(key)[:4]


def check_preimages(inputs: Sequence[Map]) -> None:
    """Raises MalformedMessage if a hash is not that of its preimage, or if there are too many to look at."""
    named = [
        (number, key, value)
        for number, item in enumerate(inputs)
        for key, value in item.pairs
        if key[0] in _HASHES
    ]
    if len(named) > MOST_PREIMAGES:
        raise MalformedMessage(f"the PSBT has {len(named)} preimages, more than {MOST_PREIMAGES}")
    for number, key, preimage in named:
        if len(preimage) > _LONGEST_PUSH or _HASHES[key[0]](preimage) != key[1:]:
            raise MalformedMessage(
                f"input {number} of the PSBT has a field {key[0]:#04x} that is not what it should be"
            )
