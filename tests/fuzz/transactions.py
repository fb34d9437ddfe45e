"""Edits of transactions and PSBTs, after which they are still transactions and PSBTs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fuzz import octets
from fuzz.tape import Tape
from signerd.core.tx import psbt_fields
from signerd.core.tx.psbt import MAGIC
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.reader import Reader, compact_size
from signerd.core.tx.transaction import MAX_MONEY, Input, Outpoint, Output, Transaction
from signerd.core.wire.composites import BitcoinTx
from signerd.errors import MalformedMessage

MOST_PARTS = 2000
NUMBERS = (0, 1, 2, 3, 330, 0x8000_0000, 0xFFFF_FFFD, 0xFFFF_FFFE, 0xFFFF_FFFF)


def edit(tx: BitcoinTx, tape: Tape) -> BitcoinTx:
    """Another transaction, which its PSBT follows or not."""
    follows = tape.number() & 1
    try:
        changed = _edited(Transaction.parse(tx.raw), tape)
        maps = _maps(tx.psbt)
    except MalformedMessage:
        return tx
    psbt = tx.psbt
    if follows and maps:
        maps[0] = maps[0].put(psbt_fields.GLOBAL_TX, changed.unsigned().serialize())
        psbt = _serialized(maps)
    return BitcoinTx(changed.serialize()[: octets.LARGEST], psbt[: octets.LARGEST])


def edit_psbt(psbt: bytes, tape: Tape) -> bytes:
    """With one pair of one map, or one map, gone, twice, new or different."""
    try:
        maps = _maps(psbt)
    except MalformedMessage:
        return psbt
    if not maps:
        return psbt
    at, way = tape.number() % len(maps), tape.number() % 8
    if way == 0:
        maps = maps[:at] + maps[at + 1 :]
    elif way == 1:
        maps = maps[: at + 1] + maps[at:]
    elif way == 2 and at == 0:
        maps[0] = _with_other_tx(maps[0], tape)
    elif way == 7:
        maps = _of_version_2(maps)
    else:
        maps[at] = _other_map(maps[at], way, tape)
    return _serialized(maps)[: octets.LARGEST]


def _of_version_2(maps: list[Map]) -> list[Map]:
    """The same, with the transaction spread over the maps (BIP 370)."""
    try:
        tx = Transaction.parse_unsigned(maps[0].get(psbt_fields.GLOBAL_TX) or b"")
    except MalformedMessage:
        return maps
    if len(maps) != 1 + len(tx.inputs) + len(tx.outputs):
        return maps
    whole = maps[0].without(psbt_fields.GLOBAL_TX)
    for kind, value in (
        (psbt_fields.GLOBAL_TX_VERSION, tx.version.to_bytes(4, "little")),
        (psbt_fields.GLOBAL_FALLBACK_LOCKTIME, tx.locktime.to_bytes(4, "little")),
        (psbt_fields.GLOBAL_INPUT_COUNT, compact_size(len(tx.inputs))),
        (psbt_fields.GLOBAL_OUTPUT_COUNT, compact_size(len(tx.outputs))),
        (psbt_fields.GLOBAL_VERSION, (2).to_bytes(4, "little")),
    ):
        whole = whole.put(kind, value)
    ins, outs = maps[1 : 1 + len(tx.inputs)], maps[1 + len(tx.inputs) :]
    return [
        whole,
        *(
            fields.put(psbt_fields.IN_PREVIOUS_TXID, item.outpoint.txid)
            .put(psbt_fields.IN_OUTPUT_INDEX, item.outpoint.index.to_bytes(4, "little"))
            .put(psbt_fields.IN_SEQUENCE, item.sequence.to_bytes(4, "little"))
            for fields, item in zip(ins, tx.inputs, strict=True)
        ),
        *(
            fields.put(psbt_fields.OUT_AMOUNT, item.value.to_bytes(8, "little")).put(
                psbt_fields.OUT_SCRIPT, item.script
            )
            for fields, item in zip(outs, tx.outputs, strict=True)
        ),
    ]


def _with_other_tx(whole: Map, tape: Tape) -> Map:
    raw = whole.get(psbt_fields.GLOBAL_TX)
    try:
        tx = Transaction.parse_unsigned(raw or b"")
    except MalformedMessage:
        return whole
    return whole.put(psbt_fields.GLOBAL_TX, _edited(tx, tape).serialize())


def _other_map(old: Map, way: int, tape: Tape) -> Map:
    pairs = old.pairs
    if way == 2 or not pairs:
        return Map((*pairs, (tape.octets() or b"\x00", tape.octets())))
    at = tape.number() % len(pairs)
    key, value = pairs[at]
    if way == 3:
        return Map(pairs[:at] + pairs[at + 1 :])
    if way == 4:
        return Map((*pairs, (key, octets.edit(value, tape))))
    if way == 5:
        return Map((*pairs[:at], (octets.edit(key, tape) or b"\x00", value), *pairs[at + 1 :]))
    return Map((*pairs[:at], (key, octets.edit(value, tape)), *pairs[at + 1 :]))


def _maps(psbt: bytes) -> list[Map]:
    reader = Reader(psbt.removeprefix(MAGIC), "the PSBT")
    maps = []
    while reader.left:
        maps.append(Map.parse(reader, {}, what="a map"))
    return maps


def _serialized(maps: Sequence[Map]) -> bytes:
    return MAGIC + b"".join(item.serialize() for item in maps)


def _number(old: int, tape: Tape) -> int:
    way = tape.number()
    return (tape.one_of(NUMBERS) if way & 1 else old + tape.signed()) % 2**32


def _version(tx: Transaction, tape: Tape) -> Transaction:
    return replace(tx, version=_number(tx.version, tape))


def _locktime(tx: Transaction, tape: Tape) -> Transaction:
    return replace(tx, locktime=_number(tx.locktime, tape))


def _input(tx: Transaction, tape: Tape) -> Transaction:
    if not tx.inputs:
        return tx
    at, way = tape.number() % len(tx.inputs), tape.number() % 6
    old = tx.inputs[at]
    if way == 0:
        return replace(tx, inputs=tx.inputs[:at] + tx.inputs[at + 1 :])
    if way == 1:
        return replace(tx, inputs=(tx.inputs + tx.inputs[at : at + 1] * tape.number(2))[:MOST_PARTS])
    if way == 2:
        new = replace(old, sequence=_number(old.sequence, tape))
    elif way == 3:
        new = replace(old, outpoint=replace(old.outpoint, index=_number(old.outpoint.index, tape)))
    elif way == 4:
        new = Input(Outpoint(tape.octets()[:32].ljust(32, b"\x00"), tape.number()))
    else:
        new = replace(old, script_sig=tape.octets(), witness=(tape.octets(),))
    return replace(tx, inputs=(*tx.inputs[:at], new, *tx.inputs[at + 1 :]))


def _output(tx: Transaction, tape: Tape) -> Transaction:
    if not tx.outputs:
        return tx
    at, way = tape.number() % len(tx.outputs), tape.number() % 6
    old = tx.outputs[at]
    if way == 0:
        return replace(tx, outputs=tx.outputs[:at] + tx.outputs[at + 1 :])
    if way == 1:
        return replace(tx, outputs=(tx.outputs + tx.outputs[at : at + 1] * tape.number(2))[:MOST_PARTS])
    if way == 2:
        return replace(tx, outputs=(*tx.outputs[at:], *tx.outputs[:at]))
    if way == 3:
        value = old.value + tape.signed() * 10 ** (tape.number() % 9)
        new = Output(max(0, min(MAX_MONEY, value)), old.script)
    elif way == 4:
        new = Output(old.value, octets.edit(old.script, tape))
    else:
        new = Output(tape.number(8), old.script)
    return replace(tx, outputs=(*tx.outputs[:at], new, *tx.outputs[at + 1 :]))


_EDITS: Sequence[Callable[[Transaction, Tape], Transaction]] = (_output, _input, _locktime, _version)


def _edited(tx: Transaction, tape: Tape) -> Transaction:
    return tape.one_of(_EDITS)(tx, tape)
