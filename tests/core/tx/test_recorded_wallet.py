"""Wallet spends, as other signers answered: PSBTs read, the same inputs signed, and written as they do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from helpers import plain_nodes, vectors

from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx import psbt_fields, script, script_reading, signing, sweep
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect, Signature
from signerd.core.tx.transaction import Outpoint, Output
from signerd.core.wire import codec
from signerd.units import Secret

HSM = {case["script"]: case for case in vectors.load("hsm")["cases"]}
CLN = vectors.load("cln_messages")["messages"]
WALLET = {"7", "147", "149", 7, 147, 149}


def is_taproot(output_script: bytes) -> bool:
    program = script_reading.witness_program(output_script)
    return program is not None and program[0] == 1


class Wallet:
    """Signs what a message lists, in one dialect."""

    def __init__(self, keys: NodeKeys, dialect: Dialect) -> None:
        self.node = keys
        self.dialect = dialect

    def sign(self, message) -> Psbt:
        psbt = Psbt.parse(message.psbt)
        at = {item.outpoint: number for number, item in enumerate(psbt.tx.inputs)}
        hosted = self.dialect is Dialect.HOSTED
        for utxo in message.utxos:
            number = at.get(Outpoint(utxo.txid, utxo.output_index))
            if number is not None:
                psbt = self.sign_input(psbt, number, utxo, message.TYPE)
        if message.TYPE == 147:
            psbt = self.sign_anchor(psbt, message)
        return psbt.without_previous_transactions() if hosted else psbt

    def sign_input(self, psbt, number, utxo, kind):
        item = psbt.inputs[number]
        if utxo.close_info is not None:
            return self.sign_close(psbt, number, utxo, kind)
        key = self.node.wallet_pubkey(utxo.key_index)
        if is_taproot(utxo.script_pubkey or item.spent.script):
            digest = Digests(psbt.tx, psbt.spent).taproot(number)
            signature = self.node.sign_wallet_taproot(utxo.key_index, digest)
            hosted = self.dialect is Dialect.HOSTED
            return psbt.with_input(
                number, item.finalize(signature) if hosted else item.sign_taproot(key, signature)
            )
        digest = Digests(psbt.tx).segwit_v0(number, script.p2pkh(key), item.spent.value)
        compact = self.node.sign_wallet(utxo.key_index, digest, self.nonce(kind))
        return self.put(psbt, number, key, compact)

    def sign_close(self, psbt, number, utxo, kind):
        info, item = utxo.close_info, psbt.inputs[number]
        channel = self.node.channel(info.peer_id, info.channel_id)
        key, point = channel.basepoints.payment, info.commitment_point
        if point is not None:
            key = keys_of.derive_point(key, point)
        code, last = script.p2pkh(key), key
        if info.option_anchors:
            code = last = script.to_remote_delayed(key, info.csv)
            if self.dialect is Dialect.CORE_LIGHTNING:
                spent = Output(utxo.amount, utxo.script_pubkey)
                fields = item.fields.put(psbt_fields.IN_WITNESS_UTXO, spent.serialize())
                fields = fields.put(psbt_fields.IN_WITNESS_SCRIPT, code)
                item = replace(item, fields=fields, spent=spent)
                psbt = psbt.with_input(number, item)
        digest = Digests(psbt.tx).segwit_v0(number, code, item.spent.value)
        compact = channel.sign_payment(digest, self.nonce(kind), per_commitment_point=point)
        return self.put(psbt, number, key, compact, last=last)

    def sign_anchor(self, psbt, message):
        channel = self.node.channel(message.peer_id, message.dbid)
        key = channel.basepoints.funding
        if self.dialect is Dialect.HOSTED:
            number = sweep.anchor_input([item.spent for item in psbt.inputs], key)
        else:
            # Core Lightning goes by the key that the input names, and is content if none does.
            number = next((at for at, item in enumerate(psbt.inputs) if key in item.origins), None)
            if number is None:
                return psbt
        item = psbt.inputs[number]
        digest = Digests(psbt.tx).segwit_v0(number, item.witness_script, item.spent.value)
        compact = channel.sign_funding(digest, signing.ANCHOR_NONCE)
        return self.put(psbt, number, key, compact, last=script.anchor(key))

    def put(self, psbt, number, key, compact, *, last=None):
        item, der = psbt.inputs[number], Signature(compact, 1).der()
        if self.dialect is Dialect.CORE_LIGHTNING:
            return psbt.with_input(number, item.sign(key, der))
        return psbt.with_input(number, item.finalize(der, last or key).with_script_sig())

    def nonce(self, kind) -> Nonce:
        return signing.nonce_of(kind, self.dialect)


def random_witnesses(psbt: Psbt, wallet: Wallet, message) -> set[int]:
    """The inputs whose signature in the reference signer's answer is random: taproot, and the anchor."""
    found = {
        number for number, item in enumerate(psbt.inputs) if item.spent and is_taproot(item.spent.script)
    }
    if message.TYPE == 147:
        key = wallet.node.channel(message.peer_id, message.dbid).basepoints.funding
        found.add(sweep.anchor_input([item.spent for item in psbt.inputs], key))
    return found


def same_but_for_randomness(ours: Psbt, theirs: Psbt, random: set[int]) -> Psbt:
    """Our answer with the witnesses of theirs, where those are random and verify."""
    for number in random:
        item, other = ours.inputs[number], theirs.inputs[number]
        assert (item.final_witness is None) == (other.final_witness is None)
        if item.final_witness is None:
            continue
        signature, *rest = other.final_witness
        assert list(item.final_witness[1:]) == rest
        if rest:
            digest = Digests(ours.tx).segwit_v0(number, rest[-1], item.spent.value)
            key = script_reading.read_anchor(rest[-1])
            assert secp256k1.verify_compact(key, secp256k1.from_der(signature[:-1]), digest)
        else:
            digest = Digests(ours.tx, ours.spent).taproot(number)
            assert secp256k1.verify_schnorr(item.spent.script[2:], signature, digest)
        ours = ours.with_input(number, item.finalize(*other.final_witness))
    return ours


@pytest.mark.parametrize("name", [name for name in HSM if name not in ("malformed", "auth", "state")])
def test_signs_the_wallet_inputs_that_the_reference_signer_signs(name):
    wallet, done = Wallet(NodeKeys.derive(Secret(bytes.fromhex(HSM[name]["seed"]))), Dialect.HOSTED), 0
    for step in HSM[name]["steps"]:
        if step["type"] not in WALLET or step["outcome"] != "reply" or step.get("lax"):
            continue
        message = codec.decode(bytes.fromhex(step["raw"]))
        theirs = Psbt.parse(codec.decode(bytes.fromhex(step["reply"])).psbt)
        ours = wallet.sign(message)
        ours = same_but_for_randomness(ours, theirs, random_witnesses(ours, wallet, message))
        assert ours.serialize() == theirs.serialize(), step["what"]
        done += 1
    assert done >= {"basic": 0, "withdrawal": 10, "life": 0, "force": 0, "attacks": 5}[name.split("-")[0]]


def test_signs_the_wallet_inputs_of_real_nodes_and_sessions_as_core_lightning_does():
    done = Counter()
    nodes = [node for run in CLN["lightningd"]["runs"] for node in run["nodes"]] + CLN["sessions"]
    for node in nodes:
        wallet = Wallet(plain_nodes.keys_of(node), Dialect.CORE_LIGHTNING)
        for step in node["steps"]:
            if step["type"] in WALLET and step.get("reply") and "wrong key index" not in step.get("what", ""):
                message = codec.decode(bytes.fromhex(step["raw"]))
                ours = wallet.sign(message).serialize()
                assert ours == codec.decode(bytes.fromhex(step["reply"])).psbt, step.get("what")
                done[message.TYPE] += 1
    assert done == {7: 106, 147: 32, 149: 34}
