"""The transaction of a version 2 PSBT, which is spread over its maps (BIP 370)."""

from __future__ import annotations

from collections.abc import Sequence

from signerd.core.tx import psbt_fields
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.reader import Reader
from signerd.core.tx.transaction import FINAL_SEQUENCE, MAX_MONEY, Input, Outpoint, Output, Transaction
from signerd.errors import MalformedMessage

VERSION = 2
FIRST_TIME = 500_000_000
"""From here on a locktime is a time and not a height."""


def _keys(*kinds: int) -> frozenset[bytes]:
    """Of fields whose key is one byte, the type."""
    return frozenset(bytes([kind]) for kind in kinds)


# The fields that only this version has.
_GLOBAL = _keys(
    psbt_fields.GLOBAL_TX_VERSION,
    psbt_fields.GLOBAL_FALLBACK_LOCKTIME,
    psbt_fields.GLOBAL_INPUT_COUNT,
    psbt_fields.GLOBAL_OUTPUT_COUNT,
    psbt_fields.GLOBAL_TX_MODIFIABLE,
)
_INPUT = _keys(
    psbt_fields.IN_PREVIOUS_TXID,
    psbt_fields.IN_OUTPUT_INDEX,
    psbt_fields.IN_SEQUENCE,
    psbt_fields.IN_TIME_LOCKTIME,
    psbt_fields.IN_HEIGHT_LOCKTIME,
)
_OUTPUT = _keys(psbt_fields.OUT_AMOUNT, psbt_fields.OUT_SCRIPT)


def counts(fields: Map, left: int) -> tuple[int, int]:
    """How many inputs and outputs follow in `left` bytes. Raises MalformedMessage."""
    inputs = _count(fields, psbt_fields.GLOBAL_INPUT_COUNT)
    outputs = _count(fields, psbt_fields.GLOBAL_OUTPUT_COUNT)
    if inputs + outputs > left:
        raise MalformedMessage(f"the PSBT announces {inputs + outputs} maps in {left} bytes")
    return inputs, outputs


def check_fields(version: int, fields: Map, inputs: Sequence[Map], outputs: Sequence[Map]) -> None:
    """Raises MalformedMessage if a field is there that this version does not allow."""
    if version == VERSION:
        foreign = fields.get(psbt_fields.GLOBAL_TX) is not None
    else:
        foreign = _has(fields, _GLOBAL) or any(_has(item, _INPUT) for item in inputs)
        foreign = foreign or any(_has(item, _OUTPUT) for item in outputs)
    if foreign:
        raise MalformedMessage(f"the PSBT of version {version} has a field of the other version")


def transaction(fields: Map, inputs: Sequence[Map], outputs: Sequence[Map]) -> Transaction:
    """The unsigned transaction. Raises MalformedMessage if a part of it is missing."""
    version = _number(fields, psbt_fields.GLOBAL_TX_VERSION)
    if version is None:
        raise MalformedMessage("the PSBT does not say the version of its transaction")
    return Transaction(
        version=version,
        inputs=tuple(_input(item) for item in inputs),
        outputs=_outputs(outputs),
        locktime=_locktime(fields, inputs),
    )


def _input(item: Map) -> Input:
    txid = item.get(psbt_fields.IN_PREVIOUS_TXID)
    index = _number(item, psbt_fields.IN_OUTPUT_INDEX)
    if txid is None or index is None:
        raise MalformedMessage("an input of the PSBT does not say what it spends")
    sequence = _number(item, psbt_fields.IN_SEQUENCE)
    return Input(Outpoint(txid, index), FINAL_SEQUENCE if sequence is None else sequence)


def _outputs(maps: Sequence[Map]) -> tuple[Output, ...]:
    outputs = []
    for item in maps:
        value, script = _number(item, psbt_fields.OUT_AMOUNT), item.get(psbt_fields.OUT_SCRIPT)
        if value is None or script is None:
            raise MalformedMessage("an output of the PSBT does not say what it pays")
        outputs.append(Output(value, script))
    if sum(output.value for output in outputs) > MAX_MONEY:
        raise MalformedMessage("the outputs of the transaction exceed all the money there is")
    return tuple(outputs)


def _locktime(fields: Map, inputs: Sequence[Map]) -> int:
    # BIP 370: the kind of lock that every input with a lock can live with; a height before a time.
    times = [_number(item, psbt_fields.IN_TIME_LOCKTIME) for item in inputs]
    heights = [_number(item, psbt_fields.IN_HEIGHT_LOCKTIME) for item in inputs]
    if any(time is not None and time < FIRST_TIME for time in times):
        raise MalformedMessage("an input of the PSBT has a height where a time belongs")
    if any(height is not None and not 0 < height < FIRST_TIME for height in heights):
        raise MalformedMessage("an input of the PSBT has a locktime that is no height")
    locked = [pair for pair in zip(times, heights, strict=True) if pair != (None, None)]
    if not locked:
        return _number(fields, psbt_fields.GLOBAL_FALLBACK_LOCKTIME) or 0
    if all(height is not None for _, height in locked):
        return max(height for _, height in locked if height is not None)
    if all(time is not None for time, _ in locked):
        return max(time for time, _ in locked if time is not None)
    raise MalformedMessage("the inputs of the PSBT ask for locktimes of two kinds")


def _count(fields: Map, kind: int) -> int:
    value = fields.get(kind)
    if value is None:
        raise MalformedMessage("the PSBT does not say how many inputs and outputs it has")
    reader = Reader(value, "a count of the PSBT")
    count = reader.compact_size()
    reader.finish()
    return count


def _number(fields: Map, kind: int) -> int | None:
    value = fields.get(kind)
    return None if value is None else int.from_bytes(value, "little")


def _has(item: Map, keys: frozenset[bytes]) -> bool:
    for key, _ in item.pairs:  # noqa: SIM110 (hundreds of times for a large commitment)
        if key in keys:
            return True
    return False
