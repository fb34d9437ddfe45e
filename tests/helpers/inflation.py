"""Requests made as large as is asked, in every part that can grow: what a signer may spend time on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any

from helpers.good_requests import Good
from signerd.core.requests import Entry, PendingRequest, SigningRequest
from signerd.core.tx import psbt_fields
from signerd.core.tx.psbt import MAGIC, Psbt
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import codec
from signerd.core.wire.composites import BitcoinTx
from signerd.core.wire.fields import Field
from signerd.errors import MalformedMessage

_LENGTH_OF_TWO_BYTES = {"bytes16", "channel_type"}
_SMALL_PAIR = 8
"""Bytes of a pair of a map, with its lengths."""


def inflated(good: Good, size: int) -> Iterator[tuple[str, SigningRequest]]:
    """The request with one part that makes it about `size` bytes long; and which part."""
    message = good.message
    for name, field in codec.layout(type(message)):
        for what, value in _grown(getattr(message, name), field, size):
            yield f"{name}: {what}", good.but(**{name: value})
    raw = good.request.raw
    for what, body in (("zeros", b"\x00"), ("ones", b"\x01"), ("itself", raw[2:] or b"\x02")):
        yield (
            f"nothing but {what}",
            replace(good.request, raw=(raw[:2] + body * (1 + size // len(body)))[:size]),
        )
    entries = [
        Entry(f"channels/{bytes(33).hex()}{number:066x}{bytes(8).hex()}", 1, b"{}", b"")
        for number in range(size // 160)
    ]
    yield "many state entries", replace(good.request, entries=tuple(entries))
    nested = Entry("nodestates/00", 1, b"[" * size + b"]" * size, b"")
    yield "one deep state entry", replace(good.request, entries=(nested,))
    for what, content in (("many small fields", b"\x08\x01"), ("many empty invoices", b"\x0a\x00")):
        framed = b"\x00" + size.to_bytes(4, "big") + content * (size // 2)
        call = PendingRequest("/cln.Node/Pay", framed, b"", b"", 0, b"")
        yield f"a client's call of {what}", replace(good.request, pending=(call,))


def _grown(value: Any, field: Field[Any], size: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BitcoinTx):
        yield from _transactions(value, size)
    elif is_dataclass(value) and not isinstance(value, type):
        for name, part in codec.layout(type(value)):
            for what, grown in _grown(getattr(value, name), part, size):
                yield f"{name}: {what}", replace(value, **{name: grown})
    elif field.name.endswith("[]"):
        item = value[0] if value else 0
        if value or field.name == "u32[]":
            count = min(65535, size // (len(field.write((item,))) - 2))
            yield "the same part again and again", (item,) * count
    elif field.name == "psbt":
        yield from _psbts(value, size)
    elif field.name == "tlvs":
        yield "one large record", (*value, (2**32 + 1, bytes(size)))
        yield "many small records", tuple((number, b"") for number in range(1, size // 3, 2))
    else:
        yield from _texts(value, field, size)


def _texts(value: Any, field: Field[Any], size: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str):
        yield "a long text", value + "q" * size
        yield "the same text again and again", (value * (1 + size // (len(value) or 1)))[:size]
    elif isinstance(value, bytes) and field.name in {*_LENGTH_OF_TWO_BYTES, "bytes32", "raw wirestring"}:
        most = min(size, 65535) if field.name in _LENGTH_OF_TWO_BYTES else size
        yield "one byte again and again", b"\x51" * most
        yield "the same bytes again and again", ((value or b"\x01") * (1 + most // (len(value) or 1)))[:most]


def _transactions(value: BitcoinTx, size: int) -> Iterator[tuple[str, BitcoinTx]]:
    tx, psbt = Transaction.parse(value.raw), Psbt.parse(value.psbt)
    outputs = (*tx.outputs, *[Output(0, b"")] * (size // 2 // 19))
    inputs = (*tx.inputs, *[Input(Outpoint(n.to_bytes(32, "big"), 0)) for n in range(size // 2 // 83)])
    for what, longer in (("outputs", replace(tx, outputs=outputs)), ("inputs", replace(tx, inputs=inputs))):
        yield f"many {what}", BitcoinTx(longer.serialize(), _with_tx(psbt, longer))
        yield f"many {what}, and a short PSBT", BitcoinTx(longer.serialize(), value.psbt)
    witness = (replace(tx.inputs[0], witness=(b"",) * size),)
    yield "many items of a witness", BitcoinTx(replace(tx, inputs=witness).serialize(), value.psbt)
    yield (
        "one large script",
        BitcoinTx(replace(tx, outputs=(Output(0, b"\x51" * size), *tx.outputs[1:])).serialize(), value.psbt),
    )
    for what, longer_psbt in _psbts(value.psbt, size):
        yield what, BitcoinTx(value.raw, longer_psbt)


def _psbts(value: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    psbt = Psbt.parse(value)
    pairs = [(b"\xfc" + number.to_bytes(4, "big"), b"\x00") for number in range(size // _SMALL_PAIR)]
    for at in range(len(_maps(psbt))):
        maps = _maps(psbt)
        maps[at] = Map((*maps[at].pairs, *pairs))
        yield f"many fields in map {at}", _written(maps)
    origins = _maps(psbt)
    key = psbt_fields.OUT_ORIGIN.to_bytes(1, "big")
    points = [(key + b"\x02" + number.to_bytes(32, "big"), bytes(8)) for number in range(size // 44)]
    origins[-1] = Map((*origins[-1].pairs, *points))
    yield "many origins of an output", _written(origins)
    large = _maps(psbt)
    large[1] = large[1].put(psbt_fields.IN_WITNESS_SCRIPT, b"\x51" * size)
    yield "one large script in a field", _written(large)
    many = replace(psbt.tx, outputs=(*psbt.tx.outputs, *[Output(0, b"")] * (size // 10)))
    yield "many outputs in the PSBT", _with_tx(psbt, many)
    inputs = [Input(Outpoint(number.to_bytes(32, "big"), 0)) for number in range(size // 42)]
    yield "many inputs in the PSBT", _with_tx(psbt, replace(psbt.tx, inputs=(*psbt.tx.inputs, *inputs)))
    nested = Transaction(2, psbt.tx.inputs, (Output(0, b""),) * (size // 9))
    with_previous = _maps(psbt)
    with_previous[1] = with_previous[1].put(psbt_fields.IN_NON_WITNESS_UTXO, nested.serialize())
    yield "a previous transaction with many outputs", _written(with_previous)


def _maps(psbt: Psbt) -> list[Map]:
    return [psbt.fields, *(item.fields for item in psbt.inputs), *(item.fields for item in psbt.outputs)]


def _written(maps: list[Map]) -> bytes:
    return MAGIC + b"".join(item.serialize() for item in maps)


def _with_tx(psbt: Psbt, tx: Transaction) -> bytes:
    """The PSBT of a longer transaction: empty maps for all that is new."""
    maps = _maps(psbt)
    if psbt.fields.get(psbt_fields.GLOBAL_TX) is None:
        raise MalformedMessage("it is of version 2")
    maps[0] = maps[0].put(psbt_fields.GLOBAL_TX, tx.unsigned().serialize())
    ins, outs = len(tx.inputs) - len(psbt.tx.inputs), len(tx.outputs) - len(psbt.tx.outputs)
    until = 1 + len(psbt.tx.inputs)
    return _written([*maps[:until], *[Map()] * ins, *maps[until:], *[Map()] * outs])
