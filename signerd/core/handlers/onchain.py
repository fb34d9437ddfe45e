"""Signing the wallet's inputs: withdrawals, funding and splices, and what pays for a force close.

What is not in the request's list stays unsigned: inputs of others, and what another message signs. What pays
to nobody we know is signed all the same: whether it is wanted, only a client's command can say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.policy import onchain as policy
from signerd.core.policy import ownership, splice
from signerd.core.policy.limits import LIMITS
from signerd.core.policy.ownership import Ours
from signerd.core.state.book import ChannelId
from signerd.core.tx import psbt_fields, sighash, signing
from signerd.core.tx.psbt import Psbt, PsbtInput
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.reader import Reader
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect, Signature
from signerd.core.tx.transaction import Outpoint, Output
from signerd.core.wire import composites
from signerd.core.wire import onchain as wire
from signerd.errors import Refused


def sign_withdrawal(message: wire.SignWithdrawal, call: Call) -> Answer:
    """hsmd type 107: withdrawals, funding transactions, our side of splices."""
    spend = spend_of(message.psbt, message.utxos, call)
    _require(spend, call)
    splice.require_added(spend, policy.destinations(spend))
    return Answer(wire.SignWithdrawalReply(_answer(spend, message.TYPE)), about=spend.psbt)


def sign_anchorspend(message: wire.SignAnchorspend, call: Call) -> Answer:
    """hsmd type 148: a wallet's inputs, and the anchor by which they pay for a commitment."""
    channel_id = ChannelId(message.peer_id, message.dbid)
    channel = call.channel(channel_id)
    spend = spend_of(message.psbt, message.utxos, call, shutdown_index=channel.ready.holder_shutdown_index)
    spend = replace(spend, inputs={**spend.inputs, **anchors_of(spend.psbt, channel_id, call)})
    _require(spend, call, parent_weight=policy.commitment_weight(channel))
    policy.destinations(spend)
    return Answer(wire.SignAnchorspendReply(_answer(spend, message.TYPE)), about=spend.psbt)


def sign_htlc_tx_mingle(message: wire.SignHtlcTxMingle, call: Call) -> Answer:
    """hsmd type 150: a wallet's inputs beside an HTLC of our commitment, which type 146 has signed."""
    channel_id = ChannelId(message.peer_id, message.dbid)
    channel = call.channel(channel_id)
    spend = spend_of(message.psbt, message.utxos, call, shutdown_index=channel.ready.holder_shutdown_index)
    _require(spend, call)
    htlc_script = ownership.htlc_transaction_script(call.channel_keys(channel_id), channel)
    policy.destinations(spend, htlc_script=htlc_script)
    return Answer(wire.SignHtlcTxMingleReply(_answer(spend, message.TYPE)), about=spend.psbt)


def spend_of(
    raw_psbt: bytes, utxos: Sequence[composites.Utxo], call: Call, *, shutdown_index: int | None = None
) -> policy.Spend:
    """The PSBT, and those of its inputs that are listed.

    Raises MalformedMessage, and Refused for a form that nothing of the wallet has, and if a listed input is
    not an output of the key that it is listed with.
    """
    psbt = Psbt.parse(raw_psbt)
    policy.require_form(psbt, LIMITS[call.network])
    listed = _listed(psbt, utxos)
    indices = {utxo.key_index for utxo in listed.values() if utxo.close_info is None}
    return policy.Spend(
        psbt=psbt,
        inputs={number: _ours(number, psbt.inputs[number], utxo, call) for number, utxo in listed.items()},
        wallet_indices=frozenset(indices if shutdown_index is None else indices | {shutdown_index}),
        keys=call.keys,
        book=call.book,
        dialect=call.dialect,
    )


def sign(spend: policy.Spend, nonce: Nonce) -> Psbt:
    """With our signatures, judged or not, in the form that the dialect's signer gives them.

    The reference signer finalizes, and writes the PSBT anew: in order, and without previous transactions.
    Core Lightning's hsmd adds to what is there.
    """
    psbt = spend.psbt
    digests = Digests(psbt.tx, psbt.spent or ())
    hosted = spend.dialect is Dialect.HOSTED
    put = _finalize if hosted else _add
    signed = tuple(
        item if (ours := spend.inputs.get(number)) is None else put(item, ours, digests, number, nonce)
        for number, item in enumerate(psbt.inputs)
    )
    psbt = replace(psbt, inputs=signed)
    return _anew(psbt) if hosted else psbt


def _answer(spend: policy.Spend, message: int) -> bytes:
    return sign(spend, signing.nonce_of(message, spend.dialect)).serialize()


def _require(spend: policy.Spend, call: Call, *, parent_weight: int = 0) -> None:
    policy.require_inputs(spend)
    policy.require_fee(spend, LIMITS[call.network], parent_weight=parent_weight)


# Which inputs


def _listed(psbt: Psbt, utxos: Sequence[composites.Utxo]) -> dict[int, composites.Utxo]:
    numbers = {item.outpoint: number for number, item in enumerate(psbt.tx.inputs)}
    listed: dict[int, composites.Utxo] = {}
    for utxo in utxos:
        number = numbers.get(Outpoint(utxo.txid, utxo.output_index))
        if number is not None and listed.setdefault(number, utxo) != utxo:
            raise Refused("onchain-utxo-twice", f"input {number} is listed twice, and not as the same")
    return listed


def _ours(number: int, item: PsbtInput, utxo: composites.Utxo, call: Call) -> Ours:
    # The list's amount and script are the node's word; what is signed, and checked, is the PSBT's.
    assert item.spent is not None
    if utxo.close_info is None:
        whose = f"wallet key {utxo.key_index}"
        found = ownership.wallet_output(call.keys, utxo.key_index, item.spent.script)
    else:
        channel_id = ChannelId(utxo.close_info.peer_id, utxo.close_info.channel_id)
        whose = f"a close of channel {channel_id}"
        found = _of_close(channel_id, utxo.close_info, item.spent, call)
    if found is None:
        raise Refused("onchain-input-not-ours", f"input {number} is not an output of {whose}")
    return found


def _of_close(channel_id: ChannelId, info: composites.CloseInfo, spent: Output, call: Call) -> Ours | None:
    keys = call.channel_keys(channel_id)
    if info.commitment_point is not None and call.dialect is Dialect.HOSTED:
        # No channel here is older than option_static_remotekey, so to the reference signer a point is that
        # of our own commitment.
        return ownership.delayed_output(keys, call.channel(channel_id), spent.script)
    # This needs no channel: the money is ours long after the node has forgotten where it came from.
    return ownership.payment_output(keys, info, spent.script)


def anchors_of(psbt: Psbt, channel_id: ChannelId, call: Call) -> dict[int, Ours]:
    keys = call.channel_keys(channel_id)
    spent = (item.spent and ownership.anchor_output(keys, item.spent) for item in psbt.inputs)
    anchors = {number: ours for number, ours in enumerate(spent) if ours}
    if call.dialect is Dialect.HOSTED:
        if not anchors:
            raise Refused("anchor-missing", f"no input is our anchor of channel {channel_id}")
        return dict(list(anchors.items())[:1])
    # Core Lightning goes by the key that an input names, and is content if none does.
    key = keys.basepoints.funding
    named = [number for number, item in enumerate(psbt.inputs) if key in item.origins]
    for number in named:
        if number not in anchors:
            raise Refused(
                "onchain-input-not-ours",
                f"input {number} names the funding key of {channel_id}, but is no anchor",
            )
    return {number: anchors[number] for number in named}


# How signatures are written


def _finalize(item: PsbtInput, ours: Ours, digests: Digests, number: int, nonce: Nonce) -> PsbtInput:
    return item.finalize(_signature(item, ours, digests, number, nonce), *ours.tail)


def _add(item: PsbtInput, ours: Ours, digests: Digests, number: int, nonce: Nonce) -> PsbtInput:
    signature = _signature(item, ours, digests, number, nonce)
    if ours.script_code is None:
        return item.sign_taproot(ours.key, signature)
    if ours.witness_script is not None and item.spent is not None:
        fields = item.fields.put(psbt_fields.IN_WITNESS_UTXO, item.spent.serialize())
        item = replace(item, fields=fields.put(psbt_fields.IN_WITNESS_SCRIPT, ours.witness_script))
    return item.sign(ours.key, signature)


def _signature(item: PsbtInput, ours: Ours, digests: Digests, number: int, nonce: Nonce) -> bytes:
    """As a witness has it: DER and the sighash byte, or 64 bytes for taproot's default."""
    if ours.script_code is None:
        return ours.sign(digests.taproot(number), nonce)
    assert item.spent is not None
    digest = digests.segwit_v0(number, ours.script_code, item.spent.value)
    return Signature(ours.sign(digest, nonce), sighash.ALL).der()


_PROPRIETARY = 0xFC
_DEFINED = frozenset({*range(0x09), *range(0x0A, 0x0E), *range(0x13, 0x19), 0xFB})
"""Key types that the reference signer's library knows by name, in maps of version 0."""


def _anew(psbt: Psbt) -> Psbt:
    """As the reference signer writes what it has read: of previous transactions there is what is spent."""
    fields = psbt.fields
    if not any(fields.get(psbt_fields.GLOBAL_VERSION) or b""):
        # The version that is meant without a word is not said.
        fields = fields.without(psbt_fields.GLOBAL_VERSION)
    return replace(
        psbt,
        fields=_sorted(fields),
        # A script signature also where the input is not ours to sign.
        inputs=tuple(
            replace(item, fields=_sorted(_with_spent_only(item.with_script_sig()))) for item in psbt.inputs
        ),
        outputs=tuple(replace(item, fields=_sorted(item.fields)) for item in psbt.outputs),
    )


def _with_spent_only(item: PsbtInput) -> Map:
    fields = item.fields.without(psbt_fields.IN_NON_WITNESS_UTXO)
    return fields if item.spent is None else fields.put(psbt_fields.IN_WITNESS_UTXO, item.spent.serialize())


def _sorted(fields: Map) -> Map:
    """First what the reference signer's library knows by name, then proprietary keys, then all others."""
    return Map(tuple(sorted(fields.pairs, key=lambda pair: _rank(pair[0]))))


def _rank(key: bytes) -> tuple[int, bytes, bytes]:
    if key[0] != _PROPRIETARY:
        return 0 if key[0] in _DEFINED else 2, key, b""
    reader = Reader(key[1:], "a proprietary key of the PSBT")
    return 1, reader.octets(), reader.take(reader.left)


HANDLERS: Mapping[type[Any], Handler] = {
    wire.SignWithdrawal: sign_withdrawal,
    wire.SignAnchorspend: sign_anchorspend,
    wire.SignHtlcTxMingle: sign_htlc_tx_mingle,
}
