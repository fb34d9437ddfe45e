"""PSBTs as lightningd writes them: which fields go where (BIP 174, BIP 371)."""

from __future__ import annotations

from collections.abc import Sequence

from signerd.core.tx import psbt_fields as kinds
from signerd.core.tx import script
from signerd.core.tx.psbt import MAGIC
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.transaction import Output, Transaction, write_stack
from signerd.core.wire.composites import BitcoinTx

Field = tuple[bytes, bytes]
"""A key, its type first, and its value."""
Fields = Sequence[Field]
NO_FIELDS: Fields = ()


def write(tx: Transaction, inputs: Sequence[Fields], outputs: Sequence[Fields]) -> bytes:
    """Version 0: the unsigned transaction, then fields for each input and output."""
    unsigned: Field = (bytes([kinds.GLOBAL_TX]), tx.unsigned().without_witnesses())
    return MAGIC + b"".join(Map(tuple(fields)).serialize() for fields in ((unsigned,), *inputs, *outputs))


def with_psbt(tx: Transaction, inputs: Sequence[Fields], outputs: Sequence[Fields]) -> BitcoinTx:
    """A transaction and its PSBT, as most requests carry both."""
    return BitcoinTx(tx.unsigned().serialize(), write(tx, inputs, outputs))


# Fields of inputs.


def previous(tx: Transaction) -> Field:
    """The whole previous transaction."""
    return bytes([kinds.IN_NON_WITNESS_UTXO]), tx.without_witnesses()


def spends(output: Output) -> Field:
    return bytes([kinds.IN_WITNESS_UTXO]), output.serialize()


def partial_signature(key: bytes, signature: bytes) -> Field:
    """`signature` is DER with its sighash byte."""
    return bytes([kinds.IN_PARTIAL_SIGNATURE]) + key, signature


def sighash(sighash_type: int) -> Field:
    return bytes([kinds.IN_SIGHASH]), sighash_type.to_bytes(4, "little")


def redeem_script(redeemed: bytes) -> Field:
    return bytes([kinds.IN_REDEEM_SCRIPT]), redeemed


def opened_by(witness_script: bytes) -> Field:
    return bytes([kinds.IN_WITNESS_SCRIPT]), witness_script


def key_of(key: bytes) -> Field:
    """The origin of a key that is its own root."""
    return bytes([kinds.IN_ORIGIN]) + key, Origin(kinds.fingerprint(key), (0,)).serialize()


def final_witness(witness: tuple[bytes, ...]) -> Field:
    return bytes([kinds.IN_FINAL_WITNESS]), write_stack(witness)


# Fields of outputs.


def hides(witness_script: bytes) -> Field:
    """The witness script of an output."""
    return bytes([kinds.OUT_WITNESS_SCRIPT]), witness_script


def ours(key: bytes, index: int, output_script: bytes) -> Field:
    """That an output is the wallet's key `index`; the form depends on whether its script is taproot."""
    origin = Origin(kinds.fingerprint(key), (index,)).serialize()
    if output_script[:1] == script.OP_1:
        return bytes([kinds.OUT_TAP_ORIGIN]) + key[1:], b"\x00" + origin
    return bytes([kinds.OUT_ORIGIN]) + key, origin


def index_in(field: Field) -> int:
    """The wallet key that an output's origin names."""
    return Origin.parse(field[1][-8:]).path[0]
