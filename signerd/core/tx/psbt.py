"""Partially signed transactions as Core Lightning sends them: read strictly, signed, written as they came.

Version 0 (BIP 174, BIP 371) is what the hsmd wire carries; version 2 (BIP 370) is read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from signerd.core.tx import psbt_fields, psbt_v2, script
from signerd.core.tx.psbt_fields import GLOBAL_FORMS, INPUT_FORMS, OUTPUT_FORMS
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.reader import Reader
from signerd.core.tx.transaction import Outpoint, Output, Transaction, read_output, read_stack, write_stack
from signerd.errors import MalformedMessage

MAGIC = b"psbt\xff"
MAX_SIZE = 4_000_000
_WITNESS_SCRIPT_KEY = bytes([1, psbt_fields.OUT_WITNESS_SCRIPT])
"""With its size."""


@dataclass(frozen=True, slots=True)
class PsbtInput:
    """One input's fields."""

    fields: Map
    spent: Output | None
    """What it spends, None if the PSBT does not say."""
    proven: bool
    """Whether `spent` is proven by the whole previous transaction, whose id is that of the outpoint."""

    @classmethod
    def of(cls, fields: Map, outpoint: Outpoint, number: int) -> Self:
        """Raises MalformedMessage if its previous transaction or output contradict each other."""
        where = f"input {number} of the PSBT"
        stated = fields.get(psbt_fields.IN_WITNESS_UTXO)
        spent = None if stated is None else read_output(stated)
        whole = fields.get(psbt_fields.IN_NON_WITNESS_UTXO)
        if whole is not None:
            spent = _output_of(whole, outpoint, spent, where)
        stack = fields.get(psbt_fields.IN_FINAL_WITNESS)
        if stack is not None:
            reader = Reader(stack, f"the final witness of {where}")
            read_stack(reader)
            reader.finish()
        _check_taproot_origins(fields, psbt_fields.IN_TAP_ORIGIN, "input", number)
        return cls(fields, spent, proven=whole is not None)

    @property
    def sighash(self) -> int | None:
        """The sighash type that it asks for."""
        value = self.fields.get(psbt_fields.IN_SIGHASH)
        return None if value is None else int.from_bytes(value, "little")

    @property
    def redeem_script(self) -> bytes | None:
        return self.fields.get(psbt_fields.IN_REDEEM_SCRIPT)

    @property
    def witness_script(self) -> bytes | None:
        return self.fields.get(psbt_fields.IN_WITNESS_SCRIPT)

    @property
    def final_witness(self) -> tuple[bytes, ...] | None:
        value = self.fields.get(psbt_fields.IN_FINAL_WITNESS)
        return None if value is None else read_stack(Reader(value, "the final witness"))

    @property
    def partial_signatures(self) -> Mapping[bytes, bytes]:
        """Public key → DER signature and sighash byte."""
        return dict(self.fields.all(psbt_fields.IN_PARTIAL_SIGNATURE))

    @property
    def taproot_signature(self) -> bytes | None:
        """Of the key path: 64 bytes, and one more for a sighash type other than the default."""
        return self.fields.get(psbt_fields.IN_TAP_KEY_SIGNATURE)

    @property
    def origins(self) -> Mapping[bytes, Origin]:
        """Compressed or x-only key → where it comes from."""
        return _origins(self.fields, psbt_fields.IN_ORIGIN, psbt_fields.IN_TAP_ORIGIN)

    def sign(self, key: bytes, signature: bytes) -> Self:
        """With a partial signature: key of 33 bytes, DER and sighash byte. Names the key's origin as itself.

        As Core Lightning's hsmd replies: the fingerprint is the key's own, the path one zero.
        """
        origin = Origin(psbt_fields.fingerprint(key), (0,)).serialize()
        fields = self.fields.put(psbt_fields.IN_PARTIAL_SIGNATURE, signature, key)
        return replace(self, fields=fields.put(psbt_fields.IN_ORIGIN, origin, key))

    def sign_taproot(self, key: bytes, signature: bytes) -> Self:
        """With a key path signature (64 bytes) by an internal key of 33 bytes, its origin as in `sign`."""
        origin = b"\x00" + Origin(psbt_fields.fingerprint(key), (0,)).serialize()
        fields = self.fields.put(psbt_fields.IN_TAP_KEY_SIGNATURE, signature)
        return replace(self, fields=fields.put(psbt_fields.IN_TAP_ORIGIN, origin, key[1:]))

    def finalize(self, *witness: bytes) -> Self:
        """With its final witness, as the reference signer replies."""
        return replace(self, fields=self.fields.put(psbt_fields.IN_FINAL_WITNESS, write_stack(witness)))

    def with_script_sig(self) -> Self:
        """With the script signature of P2SH, a push of the redeem script; one that is there stays."""
        redeem_script = self.redeem_script
        if redeem_script is None or self.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG) is not None:
            return self
        script_sig = script.push(redeem_script)
        return replace(self, fields=self.fields.put(psbt_fields.IN_FINAL_SCRIPT_SIG, script_sig))


@dataclass(frozen=True, slots=True)
class PsbtOutput:
    """One output's fields."""

    fields: Map

    @classmethod
    def of(cls, fields: Map, number: int) -> Self:
        """Raises MalformedMessage if a taproot origin is not in form."""
        _check_taproot_origins(fields, psbt_fields.OUT_TAP_ORIGIN, "output", number)
        return cls(fields)

    @property
    def witness_script(self) -> bytes | None:
        return self.fields.get(psbt_fields.OUT_WITNESS_SCRIPT)

    @property
    def origins(self) -> Mapping[bytes, Origin]:
        """Compressed or x-only key → where it comes from. lightningd names so the outputs that are ours."""
        return _origins(self.fields, psbt_fields.OUT_ORIGIN, psbt_fields.OUT_TAP_ORIGIN)


@dataclass(frozen=True, slots=True)
class Psbt:
    """`tx` has no signatures; `inputs` and `outputs` stand beside its own."""

    fields: Map
    tx: Transaction
    inputs: tuple[PsbtInput, ...]
    outputs: tuple[PsbtOutput, ...]

    @classmethod
    def parse(cls, raw: bytes, whole: tuple[bytes, Transaction] | None = None) -> Self:
        """Raises MalformedMessage for anything that is not one whole PSBT in form.

        `whole` is a transaction that was read already, and its bytes: that of the PSBT should be the same.
        """
        if len(raw) > MAX_SIZE:
            raise MalformedMessage(f"a PSBT of {len(raw)} bytes is too large")
        reader = Reader(raw, "the PSBT")
        if reader.take(len(MAGIC)) != MAGIC:
            raise MalformedMessage("the PSBT does not begin as one")
        fields = Map.parse(reader, GLOBAL_FORMS, "the global map")
        version = int.from_bytes(fields.get(psbt_fields.GLOBAL_VERSION) or b"", "little")
        if version not in (0, psbt_v2.VERSION):
            raise MalformedMessage(f"the PSBT has version {version}, which nobody has defined")
        tx = _embedded(fields, whole) if version == 0 else None
        ins, outs = (len(tx.inputs), len(tx.outputs)) if tx else psbt_v2.counts(fields, reader.left)
        inputs = [Map.parse(reader, INPUT_FORMS, "input ", number) for number in range(ins)]
        outputs = [_output_map(reader, number) for number in range(outs)]
        reader.finish()
        psbt_fields.check_preimages(inputs)
        psbt_v2.check_fields(version, fields, inputs, outputs)
        tx = tx or psbt_v2.transaction(fields, inputs, outputs)
        return cls(
            fields,
            tx,
            tuple(PsbtInput.of(inputs[n], item.outpoint, n) for n, item in enumerate(tx.inputs)),
            tuple(PsbtOutput.of(item, number) for number, item in enumerate(outputs)),
        )

    def serialize(self) -> bytes:
        """Every field where it was."""
        maps = (self.fields, *(item.fields for item in self.inputs), *(item.fields for item in self.outputs))
        return MAGIC + b"".join(item.serialize() for item in maps)

    def with_input(self, number: int, changed: PsbtInput) -> Self:
        """With one input replaced."""
        return replace(self, inputs=(*self.inputs[:number], changed, *self.inputs[number + 1 :]))

    def without_previous_transactions(self) -> Self:
        """As the reference signer replies: whoever asked has them."""
        bare = (
            replace(item, fields=item.fields.without(psbt_fields.IN_NON_WITNESS_UTXO)) for item in self.inputs
        )
        return replace(self, inputs=tuple(bare))

    @property
    def spent(self) -> tuple[Output, ...] | None:
        """What all inputs spend, in order; None unless the PSBT says it for each."""
        known = tuple(item.spent for item in self.inputs if item.spent is not None)
        return known if len(known) == len(self.inputs) else None


def _output_map(reader: Reader, number: int) -> Map:
    # The outputs of a commitment, up to a thousand, have a witness script each and nothing else.
    witness_script = reader.sole_value(_WITNESS_SCRIPT_KEY)
    if witness_script is not None:
        return Map(((_WITNESS_SCRIPT_KEY[1:], witness_script),))
    return Map.parse(reader, OUTPUT_FORMS, "output ", number)


def _embedded(fields: Map, whole: tuple[bytes, Transaction] | None) -> Transaction:
    raw = fields.get(psbt_fields.GLOBAL_TX)
    if raw is None:
        raise MalformedMessage("the PSBT holds no transaction")
    if whole is not None and raw == whole[0] and whole[1].is_unsigned:
        return whole[1]
    return Transaction.parse_unsigned(raw)


def _output_of(whole: bytes, outpoint: Outpoint, stated: Output | None, where: str) -> Output:
    previous = Transaction.parse(whole)
    if previous.txid != outpoint.txid:
        raise MalformedMessage(f"{where} brings a previous transaction with another id")
    if outpoint.index >= len(previous.outputs):
        raise MalformedMessage(f"{where} spends an output that its previous transaction lacks")
    spent = previous.outputs[outpoint.index]
    if stated not in (None, spent):
        raise MalformedMessage(f"{where} states another output than its previous transaction has")
    return spent


def _check_taproot_origins(fields: Map, kind: int, side: str, number: int) -> None:
    for key, value in fields.pairs:
        if key[0] != kind:
            continue
        where = f"{side} {number} of the PSBT"
        reader = Reader(value, f"a taproot origin of {where}")
        reader.take(32 * reader.count(32))
        if reader.left < 4 or reader.left % 4:
            raise MalformedMessage(f"a taproot origin of {where} has a broken path")


def _origins(fields: Map, kind: int, taproot_kind: int) -> Mapping[bytes, Origin]:
    found = {key: Origin.parse(value) for key, value in fields.all(kind)}
    for key, value in fields.all(taproot_kind):
        reader = Reader(value, "a taproot origin")
        reader.take(32 * reader.count(32))
        found[key] = Origin.parse(reader.take(reader.left))
    return found
