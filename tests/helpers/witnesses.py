"""Are the signatures in a PSBT good? libsecp256k1 verifies, over embit's digests; none of ours is used.

A witness is taken apart by the script that it satisfies. What another message has signed is left alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

from coincurve import PublicKey, PublicKeyXOnly
from embit.hashes import hash160
from embit.script import Script
from embit.transaction import Transaction

from signerd.core.keys import secp256k1
from signerd.core.keys.channel import ChannelKeys
from signerd.core.state.channel import ChannelState
from signerd.core.tx import psbt_fields, script_reading
from signerd.core.tx.psbt import Psbt, PsbtInput
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire.commitment import SignCommitmentTx, SignCommitmentTxReply


def signs_commitment(
    message: SignCommitmentTx, reply: SignCommitmentTxReply, ours: ChannelKeys, channel: ChannelState
) -> bool:
    """Whether the reply (hsmd type 5) signs the transaction that the message brings, with the funding key."""
    key, tx = ours.basepoints.funding, Transaction.parse(message.tx.raw)
    one, other = sorted([key, message.remote_funding_key])
    code = Script(b"\x52\x21" + one + b"\x21" + other + b"\x52\xae")
    spent = Outpoint(tx.vin[0].txid[::-1], tx.vin[0].vout)
    digest = tx.sighash_segwit(0, code, channel.funding(spent).value_sat)
    der = secp256k1.to_der(reply.signature.signature)
    return reply.signature.sighash == 1 and PublicKey(key).verify(der, digest, hasher=None)


def signed(request: bytes, reply: bytes) -> set[int]:
    """The inputs that a reply's PSBT signs and the request's does not; all those signatures are good."""
    before, after = Psbt.parse(request), Psbt.parse(reply)
    assert before.tx == after.tx
    found = set()
    for number, (old, new) in enumerate(zip(before.inputs, after.inputs, strict=True)):
        if new.final_witness not in (None, old.final_witness):
            _verify_witness(after, number, new)
            found.add(number)
        for key in set(new.partial_signatures) - set(old.partial_signatures):
            _verify_ecdsa(after, number, key, new.partial_signatures[key], _code(new, key))
            found.add(number)
        if new.taproot_signature not in (None, old.taproot_signature):
            assert new.taproot_signature is not None
            _verify_taproot(after, number, new.taproot_signature)
            found.add(number)
    return found


def _verify_witness(psbt: Psbt, number: int, item: PsbtInput) -> None:
    assert item.spent is not None
    assert item.final_witness is not None
    signature, *rest = item.final_witness
    if not rest:
        _verify_taproot(psbt, number, signature)
        return
    program = _program(item)
    if len(rest) == 1 and len(rest[0]) == 33:
        assert program == b"\x00\x14" + hash160(rest[0])
        _verify_ecdsa(psbt, number, rest[0], signature, _p2pkh(rest[0]))
        return
    *branch, witness_script = rest
    assert program == b"\x00\x20" + hashlib.sha256(witness_script).digest()
    delayed = script_reading.read_to_local(witness_script)
    # The delayed branch of to_local; to_remote with anchors, and an anchor, begin with their key.
    assert branch == ([b""] if delayed else [])
    key = delayed.delayed_key if delayed else witness_script[1:34]
    _verify_ecdsa(psbt, number, key, signature, witness_script)


def _program(item: PsbtInput) -> bytes:
    """The witness program that an input satisfies, wherever it stands."""
    assert item.spent is not None
    output_script = item.spent.script
    script_sig = item.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG)
    if output_script[:1] != b"\xa9":
        assert script_sig is None
        return output_script
    # Where the request had no redeem script, neither has the reply; whoever asked completes it.
    program = script_sig[1:] if script_sig else b"\x00\x14" + hash160(_last(item))
    assert script_sig in (None, bytes([len(program)]) + program)
    assert output_script == b"\xa9\x14" + hash160(program) + b"\x87"
    return program


def _last(item: PsbtInput) -> bytes:
    assert item.final_witness
    return item.final_witness[-1]


def _code(item: PsbtInput, key: bytes) -> bytes:
    assert item.spent is not None
    if item.witness_script is not None:
        assert item.spent.script == b"\x00\x20" + hashlib.sha256(item.witness_script).digest()
        assert key in item.witness_script
        return item.witness_script
    program = b"\x00\x14" + hash160(key)
    assert item.spent.script in (program, b"\xa9\x14" + hash160(program) + b"\x87")
    return _p2pkh(key)


def _p2pkh(key: bytes) -> bytes:
    return b"\x76\xa9\x14" + bytes(hash160(key)) + b"\x88\xac"


def _verify_ecdsa(psbt: Psbt, number: int, key: bytes, signature: bytes, code: bytes) -> None:
    spent = psbt.inputs[number].spent
    assert spent is not None
    digest = _transaction(psbt).sighash_segwit(number, Script(code), spent.value, signature[-1])
    assert signature[-1] == 1
    assert PublicKey(key).verify(signature[:-1], digest, hasher=None)


def _verify_taproot(psbt: Psbt, number: int, signature: bytes) -> None:
    spent = psbt.spent
    assert spent is not None
    scripts, values = [Script(item.script) for item in spent], [item.value for item in spent]
    digest = _transaction(psbt).sighash_taproot(number, scripts, values, 0)
    assert len(signature) == 64
    assert PublicKeyXOnly(spent[number].script[2:]).verify(signature, digest)


def _transaction(psbt: Psbt) -> Any:
    return Transaction.parse(psbt.tx.without_witnesses())


def without_randomness(reply: bytes) -> bytes:
    """A finalized PSBT but for the signatures to which the reference signer adds randomness.

    Those are taproot's, and that of an anchor.
    """
    psbt = Psbt.parse(reply)
    for number, item in enumerate(psbt.inputs):
        stack = item.final_witness or ()
        if len(stack) == 1 or (stack and script_reading.read_anchor(stack[-1]) is not None):
            psbt = psbt.with_input(number, item.finalize(b"", *stack[1:]))
    return psbt.serialize()
