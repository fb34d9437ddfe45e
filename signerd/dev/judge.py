"""Are these a signer's signatures? Verified against the transaction, with public keys alone."""

from __future__ import annotations

from collections.abc import Mapping

from signerd.core.keys import secp256k1
from signerd.core.keys.node import double_sha256
from signerd.core.tx import psbt_fields
from signerd.core.tx.psbt import Psbt, PsbtInput
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.sighash import ALL, Digests
from signerd.core.tx.transaction import Input, Transaction
from signerd.core.wire.composites import BitcoinSignature
from signerd.dev.coins import Coin
from signerd.dev.steps import require
from signerd.dev.verify import WrongAnswer
from signerd.errors import MalformedMessage

_NOTHING: frozenset[bytes] = frozenset()


def signature(
    found: BitcoinSignature,
    tx: Transaction,
    witness_script: bytes,
    value_sat: int,
    *,
    key: bytes,
    sighash: int = ALL,
    index: int = 0,
) -> bytes:
    """64 bytes r || s for an input of a transaction, which spends this script. Raises WrongAnswer."""
    require(
        found.sighash == sighash, f"the sighash type is {found.sighash:#04x}, and should be {sighash:#04x}"
    )
    digest = Digests(tx).segwit_v0(index, witness_script, value_sat, sighash)
    require(
        secp256k1.verify_compact(key, found.signature, digest),
        f"the signature is not one by {key.hex()} over transaction {tx.txid[::-1].hex()}",
    )
    return found.signature


def gossip(found: bytes, signed_part: bytes, *, key: bytes) -> None:
    """The signature of a BOLT 7 message. Raises WrongAnswer."""
    require(
        secp256k1.verify_compact(key, found, double_sha256(signed_part)),
        f"the signature is not one by {key.hex()} over this",
    )


def signed_inputs(asked: bytes, raw: bytes, coins: Mapping[int, Coin]) -> Transaction:
    """The transaction of a PSBT with the witnesses that came back: for the inputs in `coins`, and no other.

    Both forms are taken: final witnesses, and partial signatures. Raises WrongAnswer.
    """
    request = Psbt.parse(asked)
    try:
        reply = Psbt.parse(raw)
    except MalformedMessage as problem:
        raise WrongAnswer(problem.message) from problem
    require(reply.tx == request.tx, "the PSBT came back with another transaction")
    _require_known_fields(request, reply, coins)
    digests = Digests(request.tx, request.spent or ())
    inputs = []
    for number, item in enumerate(request.tx.inputs):
        if number in coins:
            inputs.append(_signed(coins[number], digests, number, reply.inputs[number]))
        else:
            finished = request.inputs[number].final_witness or ()
            inputs.append(Input(item.outpoint, item.sequence, witness=finished))
    return Transaction(request.tx.version, tuple(inputs), request.tx.outputs, request.tx.locktime)


def _signed(coin: Coin, digests: Digests, number: int, answer: PsbtInput) -> Input:
    item, where, witness = digests.tx.inputs[number], f"input {number}", answer.final_witness
    if coin.is_taproot:
        found = witness[0] if witness else answer.taproot_signature or b""
        require(
            secp256k1.verify_schnorr(coin.output.script[2:], found, digests.taproot(number)),
            f"{where} has no signature by its output key",
        )
        return Input(item.outpoint, item.sequence, witness=(found,))
    last = coin.witness_script or coin.key
    if witness is None:
        witness = (answer.partial_signatures.get(coin.key, b""), last)
    require(
        len(witness) == 2 and witness[1] == last and witness[0][-1:] == bytes([ALL]),
        f"{where} has no witness of a signature and {last.hex()}",
    )
    digest = digests.segwit_v0(number, coin.script_code, coin.output.value)
    try:
        compact = secp256k1.from_der(witness[0][:-1])
    except MalformedMessage as problem:
        raise WrongAnswer(f"{where}: {problem.message}") from problem
    require(
        secp256k1.verify_compact(coin.key, compact, digest), f"{where} has no signature by {coin.key.hex()}"
    )
    script_sig = coin.script_sig
    told = answer.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG)
    require(told in (None, script_sig), f"{where} has another script signature than its redeem script")
    return Input(item.outpoint, item.sequence, script_sig, witness)


def _require_known_fields(request: Psbt, reply: Psbt, coins: Mapping[int, Coin]) -> None:
    """A signer may leave fields out, and adds to our inputs what belongs to signatures. That is all."""
    _require_known(dict(request.fields.pairs), reply.fields)
    for old, new in zip(request.outputs, reply.outputs, strict=True):
        _require_known(dict(old.fields.pairs), new.fields)
    for number, (before, after) in enumerate(zip(request.inputs, reply.inputs, strict=True)):
        known, coin = dict(before.fields.pairs), coins.get(number)
        if coin is not None and coin.witness_script:
            # The node may leave it to its signer to say what opens a channel's output.
            known.setdefault(bytes([psbt_fields.IN_WITNESS_SCRIPT]), coin.witness_script)
        _require_known(known, after.fields, _added_to(coin) if coin else _NOTHING)


def _require_known(known: Mapping[bytes, bytes], told: Map, added: frozenset[bytes] = _NOTHING) -> None:
    for key, value in told.pairs:
        good = known[key] == value if key in known else key in added
        require(good, f"the PSBT came back with another field {key.hex()}")


def _added_to(coin: Coin) -> frozenset[bytes]:
    """The keys of the fields that a signature brings into an input."""
    return frozenset(
        bytes([kind]) + data
        for kind, data in (
            (psbt_fields.IN_PARTIAL_SIGNATURE, coin.key),
            (psbt_fields.IN_ORIGIN, coin.key),
            (psbt_fields.IN_FINAL_SCRIPT_SIG, b""),
            (psbt_fields.IN_FINAL_WITNESS, b""),
            (psbt_fields.IN_TAP_KEY_SIGNATURE, b""),
            (psbt_fields.IN_TAP_ORIGIN, coin.key[1:]),
        )
    )
