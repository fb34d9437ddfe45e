"""Which of Lightning's scripts is this? Each is rebuilt from what was read, and must come out the same."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx import script

_KEY = 33
_SHORTEST_HTLC = 133
_ANCHORS_TAIL = bytes.fromhex("6851b27568")


@dataclass(frozen=True, slots=True)
class ToLocal:
    revocation_key: bytes
    delayed_key: bytes
    to_self_delay: int


@dataclass(frozen=True, slots=True)
class ToRemoteDelayed:
    payment_key: bytes
    csv: int


def witness_program(output_script: bytes) -> tuple[int, bytes] | None:
    """The version (0 to 16) and program (2 to 40 bytes) of a segwit output, else None (BIP 141)."""
    if not 4 <= len(output_script) <= 42 or output_script[1] != len(output_script) - 2:
        return None
    opcode = output_script[0]
    if opcode == 0:
        return 0, output_script[2:]
    if script.OP_1[0] <= opcode <= script.OP_16[0]:
        return opcode - script.OP_1[0] + 1, output_script[2:]
    return None


def read_funding(witness_script: bytes) -> tuple[bytes, bytes] | None:
    """The two keys of a 2-of-2 in ascending order, else None."""
    one, other = witness_script[2 : 2 + _KEY], witness_script[3 + _KEY : 3 + 2 * _KEY]
    if len(other) != _KEY or script.funding(one, other) != witness_script:
        return None
    return one, other


def read_anchor(witness_script: bytes) -> bytes | None:
    """The funding key of an anchor, else None."""
    key = witness_script[1 : 1 + _KEY]
    return key if len(key) == _KEY and script.anchor(key) == witness_script else None


def read_to_local(witness_script: bytes) -> ToLocal | None:
    """The output of the broadcaster or of an HTLC transaction, else None."""
    revocation_key = witness_script[2 : 2 + _KEY]
    delayed_key = witness_script[-2 - _KEY : -2]
    delay = _read_number(witness_script[3 + _KEY : -5 - _KEY])
    if len(revocation_key) != _KEY or len(delayed_key) != _KEY or delay is None:
        return None
    rebuilt = script.to_local(revocation_key=revocation_key, delayed_key=delayed_key, to_self_delay=delay)
    return ToLocal(revocation_key, delayed_key, delay) if rebuilt == witness_script else None


def read_to_remote_delayed(witness_script: bytes) -> ToRemoteDelayed | None:
    """The other side's output with anchors, else None."""
    key = witness_script[1 : 1 + _KEY]
    csv = _read_number(witness_script[2 + _KEY : -1])
    if len(key) != _KEY or csv is None or script.to_remote_delayed(key, csv) != witness_script:
        return None
    return ToRemoteDelayed(key, csv)


def read_htlc(witness_script: bytes) -> script.HtlcScript | None:
    """An HTLC output of a commitment, else None."""
    if len(witness_script) < _SHORTEST_HTLC:
        return None
    anchors = witness_script.endswith(_ANCHORS_TAIL)
    read = _read_offered if witness_script[66:67] == script.OP_NOTIF else _read_received
    fields = read(witness_script, anchors=anchors)
    return fields if fields is not None and fields.serialize() == witness_script else None


def _read_offered(witness_script: bytes, *, anchors: bool) -> script.HtlcScript:
    return script.HtlcScript(
        revocation_hash=witness_script[3:23],
        own_htlc_key=witness_script[71:104],
        other_htlc_key=witness_script[28:61],
        payment_ripemd=witness_script[109:129],
        cltv_expiry=None,
        anchors=anchors,
    )


def _read_received(witness_script: bytes, *, anchors: bool) -> script.HtlcScript | None:
    # After the expiry come b1 75 ac 68 68, with 51 b2 75 before the last byte if there are anchors.
    expiry = _read_number(witness_script[130 : -8 if anchors else -5])
    if expiry is None:
        return None
    return script.HtlcScript(
        revocation_hash=witness_script[3:23],
        own_htlc_key=witness_script[93:126],
        other_htlc_key=witness_script[28:61],
        payment_ripemd=witness_script[69:89],
        cltv_expiry=expiry,
        anchors=anchors,
    )


def _read_number(pushed: bytes) -> int | None:
    """A number that takes at most five bytes, as lock times do; None if these bytes push none."""
    if len(pushed) == 1:
        opcode = pushed[0]
        if opcode == 0:
            return 0
        return opcode - script.OP_1[0] + 1 if script.OP_1[0] <= opcode <= script.OP_16[0] else None
    if not 2 <= len(pushed) <= 6 or pushed[0] != len(pushed) - 1 or pushed[-1] & 0x80:
        return None
    return int.from_bytes(pushed[1:], "little")
