"""What a signature of an input signs: BIP 143 (segwit version 0) and BIP 341 (taproot, key path)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from signerd.core.keys.secp256k1 import tagged_hash
from signerd.core.tx.reader import octets
from signerd.core.tx.transaction import Output, Transaction

DEFAULT = 0x00
"""Taproot only: all inputs, all outputs, and no byte after the signature."""
ALL = 0x01
NONE = 0x02
SINGLE = 0x03
ANYONECANPAY = 0x80
SINGLE_ANYONECANPAY = SINGLE | ANYONECANPAY
"""For HTLC transactions of channels with anchors: others may add inputs and outputs (BOLT 3)."""

SEGWIT_TYPES = frozenset({0x01, 0x02, 0x03, 0x81, 0x82, 0x83})
_TAPROOT_TYPES = SEGWIT_TYPES | {DEFAULT}


@dataclass(frozen=True)
class Digests:
    """The digests of one transaction. What inputs share is hashed once, so many inputs cost linear time.

    `spent` holds the outputs that all inputs spend, in order; only taproot needs it.
    """

    tx: Transaction
    spent: tuple[Output, ...] = ()

    def segwit_v0(self, index: int, script_code: bytes, value: int, sighash: int = ALL) -> bytes:
        """32 bytes (BIP 143). `script_code` is the witness script, or that of P2PKH for a P2WPKH output.

        `value` is what the input spends, in satoshi. Raises ValueError for another sighash type or index.
        """
        _check(sighash, SEGWIT_TYPES, index, self.tx)
        spent = self.tx.inputs[index]
        anyone, outputs = bool(sighash & ANYONECANPAY), sighash & 0x03
        preimage = (
            self.tx.version.to_bytes(4, "little"),
            bytes(32) if anyone else _sha256(self._prevouts),
            bytes(32) if anyone or outputs != ALL else _sha256(self._sequences),
            spent.outpoint.serialize(),
            octets(script_code),
            value.to_bytes(8, "little"),
            spent.sequence.to_bytes(4, "little"),
            self._outputs_v0(index, outputs),
            self.tx.locktime.to_bytes(4, "little"),
            sighash.to_bytes(4, "little"),
        )
        return _sha256(_sha256(b"".join(preimage)))

    def taproot(self, index: int, sighash: int = DEFAULT) -> bytes:
        """32 bytes (BIP 341, key path, no annex).

        Raises ValueError for another sighash type or index, for a missing output, and for SINGLE without an
        output at the index.
        """
        _check(sighash, _TAPROOT_TYPES, index, self.tx)
        if len(self.spent) != len(self.tx.inputs):
            raise ValueError("taproot signs what every input spends")
        anyone, outputs = bool(sighash & ANYONECANPAY), sighash & 0x03
        preimage = [
            b"\x00",  # the epoch
            bytes([sighash]),
            self.tx.version.to_bytes(4, "little"),
            self.tx.locktime.to_bytes(4, "little"),
        ]
        if not anyone:
            preimage += [self._prevouts, *self._spent_hashes, self._sequences]
        if outputs in (DEFAULT, ALL):
            preimage.append(self._outputs)
        preimage.append(b"\x00")  # key path, no annex
        if anyone:
            item = self.tx.inputs[index]
            preimage += [
                item.outpoint.serialize(),
                self.spent[index].serialize(),
                item.sequence.to_bytes(4, "little"),
            ]
        else:
            preimage.append(index.to_bytes(4, "little"))
        if outputs == SINGLE:
            if index >= len(self.tx.outputs):
                raise ValueError(f"input {index} has no output to sign")
            preimage.append(_sha256(self.tx.outputs[index].serialize()))
        return tagged_hash(b"TapSighash", b"".join(preimage))

    # Single SHA-256, as BIP 341 has them; BIP 143 hashes each once more.

    @cached_property
    def _prevouts(self) -> bytes:
        return _sha256(b"".join(item.outpoint.serialize() for item in self.tx.inputs))

    @cached_property
    def _sequences(self) -> bytes:
        return _sha256(b"".join(item.sequence.to_bytes(4, "little") for item in self.tx.inputs))

    @cached_property
    def _outputs(self) -> bytes:
        return _sha256(b"".join(item.serialize() for item in self.tx.outputs))

    @cached_property
    def _spent_hashes(self) -> tuple[bytes, bytes]:
        values = b"".join(output.value.to_bytes(8, "little") for output in self.spent)
        scripts = b"".join(octets(output.script) for output in self.spent)
        return _sha256(values), _sha256(scripts)

    def _outputs_v0(self, index: int, outputs: int) -> bytes:
        if outputs == ALL:
            return _sha256(self._outputs)
        if outputs == SINGLE and index < len(self.tx.outputs):
            return _sha256(_sha256(self.tx.outputs[index].serialize()))
        return bytes(32)


def _check(sighash: int, known: frozenset[int], index: int, tx: Transaction) -> None:
    if sighash not in known:
        raise ValueError(f"{sighash:#04x} is no sighash type")
    if not 0 <= index < len(tx.inputs):
        raise ValueError(f"there is no input {index}")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
