"""Which transactions of the wallet are signed: their form, what they cost, and where their outputs go.

A rule that the reference signer has as well bears its name. Amounts are those of the PSBT. A signature of
segwit version 0 covers the amount of its own input only, so a node that lies about one input at a time could
have the difference burnt as a fee. Nobody gains by it, and it cannot be done where an input is taproot, or
where the PSBT brings the previous transactions, as lightningd's does.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from signerd.core.keys.node import NodeKeys
from signerd.core.policy import ownership
from signerd.core.policy.limits import Limits
from signerd.core.policy.ownership import Ours
from signerd.core.state.book import Book
from signerd.core.state.channel import ChannelState
from signerd.core.tx import script, script_reading, sighash
from signerd.core.tx.fees import commitment_fee
from signerd.core.tx.htlc import MSAT
from signerd.core.tx.psbt import Psbt, PsbtInput
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint, Output
from signerd.errors import Refused

VERSION = 2

_SIGNATURE_WEIGHT = 2 + 1 + 1 + 72 + 1
"""Marker and flag, the count of items, the signature and its length, the length of what follows."""
_KEY_SIZE = 33
_FOREIGN_WITNESS = 600
"""What the witness of somebody else's input weighs at most; that of an HTLC has some 330."""


class Destination(enum.Enum):
    """Whose an output is."""

    WALLET = "our wallet"
    CHANNEL = "a channel of ours, whose opening is complete"
    HTLC = "our delayed output of an HTLC transaction"
    ELSEWHERE = "nobody we know: that it is wanted, only a client's command can say"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """A transaction that spends from the wallet, and by whose keys and state it is judged.

    `inputs` holds those that we are to sign, `wallet_indices` the wallet keys that are known to be in use.
    """

    psbt: Psbt
    inputs: Mapping[int, Ours]
    wallet_indices: frozenset[int]
    keys: NodeKeys
    book: Book
    dialect: Dialect


def require_form(psbt: Psbt, limits: Limits) -> None:
    """Version and size, and that nothing is missing or twice there. Raises Refused."""
    tx = psbt.tx
    if tx.version != VERSION:
        raise Refused(
            "policy-onchain-format-standard", f"the transaction has version {tx.version}, expected {VERSION}"
        )
    if not tx.inputs or not tx.outputs:
        raise Refused("policy-onchain-format-standard", "the transaction has no inputs, or no outputs")
    if len({item.outpoint for item in tx.inputs}) != len(tx.inputs):
        raise Refused("policy-onchain-format-standard", "the transaction spends an output twice")
    size = len(tx.without_witnesses())
    if size > limits.max_transaction_size:
        raise Refused(
            "policy-onchain-max-size",
            f"the transaction has {size} bytes, more than {limits.max_transaction_size}",
        )
    for number, item in enumerate(psbt.inputs):
        if item.spent is None:
            raise Refused("onchain-utxo-missing", f"the PSBT does not say what input {number} spends")


def require_inputs(spend: Spend) -> None:
    """That the PSBT asks of our inputs nothing else than what we sign. Raises Refused."""
    for number, ours in spend.inputs.items():
        item = spend.psbt.inputs[number]
        # Taproot's default says the same as ALL.
        everything = {None, sighash.ALL} if ours.script_code else {None, sighash.ALL, sighash.DEFAULT}
        if item.sighash not in everything:
            raise Refused(
                "onchain-sighash",
                f"input {number} has sighash type {item.sighash}, and we sign all or nothing",
            )
        if item.redeem_script not in (None, ours.redeem_script):
            raise Refused("onchain-script", f"the redeem script of input {number} is not its output's")
        if item.witness_script not in (None, ours.witness_script):
            raise Refused("onchain-script", f"the witness script of input {number} is not its output's")


def require_fee(spend: Spend, limits: Limits, *, parent_weight: int = 0) -> None:
    """That no more than a fee is left to the miner, whoever pays it. Raises Refused.

    `parent_weight` is that of a transaction which this one is to bring into a block.
    """
    psbt = spend.psbt
    spent = sum(item.spent.value for item in psbt.inputs if item.spent is not None)
    fee = spent - sum(item.value for item in psbt.tx.outputs)
    if fee < 0:
        raise Refused("policy-onchain-format-standard", f"the outputs exceed the inputs by {-fee} sat")
    weight = parent_weight + 4 * len(psbt.tx.without_witnesses())
    weight += sum(_witness_weight(item, spend.inputs.get(number)) for number, item in enumerate(psbt.inputs))
    # The highest feerate that comes to this fee, as the reference signer has it.
    feerate = (fee * 1000 + 999) // weight
    if feerate > limits.max_feerate_per_kw:
        raise Refused(
            "policy-onchain-fee-range",
            f"a fee of {fee} sat is {feerate} sat per 1000 weight, more than {limits.max_feerate_per_kw}",
        )


def commitment_weight(channel: ChannelState) -> int:
    """Of the heaviest commitment that the channel can have on chain. Raises Refused for a stub."""
    signed = [item.contents for item in (channel.signed, channel.signed_before) if item is not None]
    contents = [content for known in (channel.holder, channel.pending, *signed) for _, content in known]
    htlcs = max((len(content.htlcs) for content in contents), default=0)
    return commitment_fee(channel.ready.format, 1000, htlcs)


def destinations(spend: Spend, *, htlc_script: bytes | None = None) -> tuple[Destination, ...]:
    """Whose each output is. What is said to be ours, or would fund a channel of ours, must do so.

    An output without a name in the PSBT may still be ours: the change of a fee bump has none. `htlc_script`
    is what the HTLC transactions of the channel in question pay to. Raises Refused.
    """
    txid = final_txid(spend)
    found = [
        _stated(spend, Outpoint(txid, number), output, htlc_script)
        for number, output in enumerate(spend.psbt.tx.outputs)
    ]
    outputs = list(zip(spend.psbt.tx.outputs, found, strict=True))
    unnamed = {output.script for output, whose in outputs if whose is None}
    ours = ownership.find_wallet_scripts(spend.keys, unnamed, spend.wallet_indices)
    return tuple(
        whose or (Destination.WALLET if output.script in ours else Destination.ELSEWHERE)
        for output, whose in outputs
    )


def final_txid(spend: Spend) -> bytes:
    """32 bytes, as hashed: what the id will be once all have signed, if all inputs are segwit.

    An input that is segwit inside P2SH pushes its redeem script, and can do nothing else (BIP 141).
    """
    tx = spend.psbt.tx
    inputs = []
    for number, (item, fields) in enumerate(zip(tx.inputs, spend.psbt.inputs, strict=True)):
        ours = spend.inputs.get(number)
        redeem_script = ours.redeem_script if ours else _wrapped(fields)
        script_sig = script.push(redeem_script) if redeem_script else b""
        inputs.append(replace(item, script_sig=script_sig))
    return replace(tx, inputs=tuple(inputs)).txid


def _stated(
    spend: Spend, outpoint: Outpoint, output: Output, htlc_script: bytes | None
) -> Destination | None:
    if _funds_channel(spend, outpoint, output):
        return Destination.CHANNEL
    if _is_named_ours(spend, outpoint.index, output):
        return Destination.WALLET
    return Destination.HTLC if output.script == htlc_script else None


def _is_named_ours(spend: Spend, number: int, output: Output) -> bool:
    fields = spend.psbt.outputs[number]
    index = ownership.named_index(fields)
    if index is not None and ownership.is_wallet_script(spend.keys, output.script, index):
        return True
    # lightningd names its own outputs by one step. Another wallet's longer path says nothing about us; the
    # reference signer wants no such thing, and hosted nodes do not send it.
    named = any(origin.path for origin in fields.origins.values())
    if index is not None or (named and spend.dialect is Dialect.HOSTED):
        raise Refused(
            "policy-onchain-no-unknown-outputs",
            f"output {number} is said to be ours, and pays to another script",
        )
    return False


def _funds_channel(spend: Spend, outpoint: Outpoint, output: Output) -> bool:
    """Whether an output is the funding of a channel that we know; refused unless all that needs is there."""
    channel_id = spend.book.channel_funded_by(outpoint)
    channel = None if channel_id is None else spend.book.channel(channel_id)
    if channel_id is None or channel is None:
        return False
    funding = channel.funding(outpoint)
    key = spend.keys.channel(channel_id.peer_id, channel_id.dbid).basepoints.funding
    if output.value != funding.value_sat:
        raise Refused(
            "policy-onchain-output-match-commitment",
            f"output {outpoint.index} pays {output.value} sat to a channel of {funding.value_sat} sat",
        )
    if output.script != script.p2wsh(script.funding(key, funding.counterparty_key)):
        raise Refused(
            "policy-onchain-output-scriptpubkey",
            f"output {outpoint.index} does not pay to the keys of channel {channel_id}",
        )
    for number, item in enumerate(spend.psbt.inputs):
        if not _is_proven_segwit(item):
            raise Refused(
                "policy-onchain-funding-non-malleable",
                f"input {number} is not proven to be segwit: the channel's funding could get another id",
            )
    if outpoint not in dict(channel.holder):
        raise Refused(
            "policy-onchain-initial-commitment-countersigned",
            f"the peer has not signed our commitment that brings the money of channel {channel_id} back",
        )
    if spend.dialect is Dialect.HOSTED:
        _require_plain_opening(channel)
    return True


def _require_plain_opening(channel: ChannelState) -> None:
    # On a plain node both come from the owner's own command line.
    if not channel.ready.is_outbound:
        raise Refused("policy-onchain-no-fund-inbound", "the peer opens this channel, we do not pay for it")
    if channel.ready.push_msat >= MSAT:
        raise Refused(
            "policy-onchain-no-channel-push", f"{channel.ready.push_msat} msat would be given to the peer"
        )


def _is_proven_segwit(item: PsbtInput) -> bool:
    if not item.proven or item.spent is None:
        return False
    return script_reading.witness_program(_wrapped(item) or item.spent.script) is not None


def _wrapped(item: PsbtInput) -> bytes | None:
    """The redeem script of a segwit output inside P2SH, None for any other output."""
    redeem_script = item.redeem_script
    if redeem_script is None or item.spent is None or script.p2sh(redeem_script) != item.spent.script:
        return None
    return redeem_script if script_reading.witness_program(redeem_script) else None


def _witness_weight(item: PsbtInput, ours: Ours | None) -> int:
    """What an input's witness weighs, roughly: at least a signature and a key, if it is not there yet."""
    if ours is None and item.final_witness is not None:
        # No signature covers it: an absurd one would only lift the limit of the fee.
        return min(sum(1 + len(part) for part in item.final_witness), _FOREIGN_WITNESS)
    tail = ours.tail if ours else (bytes(_KEY_SIZE),)
    return _SIGNATURE_WEIGHT + sum(map(len, tail))
