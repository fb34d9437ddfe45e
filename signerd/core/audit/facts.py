"""What a request was about, in public terms: read off the decoded message and its answer, and nothing secret.

Everything here is cheap. A fact that a refused message does not yield is left out; so is what would need the
state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from signerd.core.audit.record import Fact, clean
from signerd.core.requests import Refusal, Signed
from signerd.core.state.channel import Content
from signerd.core.tx import bolt11
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import (
    channel,
    closing,
    commitment,
    composites,
    gossip,
    identity,
    onchain,
    payments,
    session,
    sweep,
)
from signerd.errors import MalformedMessage

Facts = dict[str, Fact]
NO_FACTS: Mapping[str, Fact] = {}

MOST_OUTPUTS = 16
"""Outputs of one transaction that are listed; a withdrawal can have thousands."""
LONGEST_NAME = 64


def of(message: Any, outcome: Signed | Refusal) -> Mapping[str, Fact]:
    """The facts of a decision. None as a message is one that could not be read."""
    make = _FACTS.get(type(message))
    if make is None:
        return NO_FACTS
    try:
        return make(message, outcome)
    except MalformedMessage:
        # It was refused because of what cannot be read in it.
        return NO_FACTS
    except Exception as bug:  # noqa: BLE001 - better a record without facts than no answer for want of them
        return {"facts_missing": f"a bug in signerd: {type(bug).__name__}"}


# Commitments


def _remote_commitment(message: commitment.SignRemoteCommitmentTx, outcome: Signed | Refusal) -> Facts:
    txid = _txid(message.tx.raw)
    facts: Facts = {"commitment": message.commit_num, "htlcs": len(message.htlcs), "txid": _shown(txid)}
    content = _content(outcome, txid)
    if content is not None:
        facts["to_peer_sat"], facts["to_us_sat"] = content.to_broadcaster_sat, content.to_other_sat
    return facts | {"feerate_per_kw": message.feerate}


def _own_commitment(message: commitment.ValidateCommitmentTx, outcome: Signed | Refusal) -> Facts:
    txid = _txid(message.tx.raw)
    facts: Facts = {"commitment": message.commit_num, "htlcs": len(message.htlcs), "txid": _shown(txid)}
    content = _content(outcome, txid)
    if content is not None:
        facts["to_us_sat"], facts["to_peer_sat"] = content.to_broadcaster_sat, content.to_other_sat
    return facts | {"feerate_per_kw": message.feerate}


def _content(outcome: Signed | Refusal, txid: bytes) -> Content | None:
    """What a commitment holds, from what is remembered of it; a repetition changes nothing."""
    if isinstance(outcome, Signed):
        for after in outcome.changes.channels.values():
            if after is None:
                continue
            signed = after.signed.contents if after.signed else ()
            for _, content in (*signed[-1:], *after.pending, *after.holder):
                if content.txid == txid:
                    return content
    return None


def _revocation(message: channel.RevokeCommitmentTx, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"commitment": message.commit_num}


def _peers_revocation(message: channel.ValidateRevocation, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"commitment": message.revoke_num}


def _publication(message: commitment.SignCommitmentTx, outcome: Signed | Refusal) -> Facts:
    return {"commitment": message.commit_num} | _transaction(message, outcome)


def _point(message: channel.GetPerCommitmentPoint, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"commitment": message.n}


def _future_secret(message: channel.CheckFutureSecret, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"commitment": message.n}


# Transactions


def _transaction(message: Any, outcome: Signed | Refusal) -> Facts:
    """Of a message with a transaction: its id, and what it pays where."""
    del outcome
    tx: composites.BitcoinTx = message.tx
    return {"txid": _shown(_txid(tx.raw))} | _outputs(Transaction.parse(tx.raw).outputs)


def _htlc(message: Any, outcome: Signed | Refusal) -> Facts:
    """One, or hundreds of these come with each commitment: no more than which it is."""
    del outcome
    return {"txid": _shown(_txid(message.tx.raw))}


def _own_htlc(message: Any, outcome: Signed | Refusal) -> Facts:
    return {"commitment": message.commit_num} | _transaction(message, outcome)


def _wallet(message: Any, outcome: Signed | Refusal) -> Facts:
    """Of a PSBT: what is spent and by whom, where it goes, and the fee where the PSBT tells it."""
    read = outcome.about if isinstance(outcome, Signed) else None
    psbt = read if isinstance(read, Psbt) else Psbt.parse(message.psbt)
    facts: Facts = {
        "txid": _shown(psbt.tx.txid),
        "inputs": len(psbt.inputs),
        "inputs_listed": len(message.utxos),
    }
    facts |= _outputs(psbt.tx.outputs)
    if psbt.spent is not None:
        spent = sum(item.value for item in psbt.spent)
        facts |= {"inputs_sat": spent, "fee_sat": spent - sum(item.value for item in psbt.tx.outputs)}
    return facts


def _outputs(outputs: Iterable[Output]) -> Facts:
    every = tuple(outputs)
    shown = tuple(f"{item.value} sat to {clean(item.script.hex(), 140)}" for item in every[:MOST_OUTPUTS])
    if len(every) > MOST_OUTPUTS:
        return {"outputs": shown, "outputs_in_all": len(every)}
    return {"outputs": shown}


# Channels


def _setup(message: channel.SetupChannel, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {
        "funding": str(Outpoint(message.funding_txid, message.funding_txout)),
        "channel_sat": message.channel_value,
        "pushed_msat": message.push_value,
        "opened_by": "us" if message.is_outbound else "peer",
    }


def _funding(message: channel.LockOutpoint | channel.CheckOutpoint, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"funding": str(Outpoint(message.funding_txid, message.funding_txout))}


# Payments


def _invoice(message: payments.SignInvoice, outcome: Signed | Refusal) -> Facts:
    del outcome
    invoice = bolt11.read_unsigned(message.hrp.decode("ascii", "replace"), message.u5bytes)
    facts: Facts = {"payment_hash": invoice.payment_hash.hex()}
    return facts if invoice.amount_msat is None else facts | {"amount_msat": invoice.amount_msat}


def _bolt12(message: payments.SignBolt12 | payments.SignBolt12V2, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {
        "signs": clean(f"{message.message_name}.{message.field_name}", LONGEST_NAME),
        "merkle_root": message.merkle_root.hex(),
    }


def _lease(message: payments.SignOptionWillFundOffer, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"funding_key": message.funding_pubkey.hex(), "block": message.blockheight}


def _approval(message: Any, outcome: Signed | Refusal) -> Facts:
    """Of an invoice, from what is remembered of it: the text itself holds what is nobody's business."""
    del message
    if isinstance(outcome, Signed):
        for payment_hash, payment in outcome.changes.payments.items():
            if payment is not None:
                return {"payment_hash": payment_hash.hex(), "amount_msat": payment.amount_msat}
    return {}


def _keysend(
    message: payments.PreapproveKeysend | payments.PreapproveKeysendCheck, outcome: Signed | Refusal
) -> Facts:
    del outcome
    return {
        "payment_hash": message.payment_hash.hex(),
        "amount_msat": message.amount_msat,
        "to": message.destination.hex(),
    }


# The rest


def _label(message: identity.DeriveSecret, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"label": clean(message.info.decode("ascii", "replace"), LONGEST_NAME)}


def _init(message: session.Init, outcome: Signed | Refusal) -> Facts:
    facts: Facts = {"version_min": message.min_version, "version_max": message.max_version}
    node = outcome.changes.node if isinstance(outcome, Signed) else None
    return facts if node is None else facts | {"version": node.hsm_version}


def _client(message: session.ClientHsmfd, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"permissions": message.permissions}


def _index(message: Any, outcome: Signed | Refusal) -> Facts:
    del outcome
    return {"index": message.index}


_FACTS: Mapping[type[Any], Callable[[Any, Signed | Refusal], Facts]] = {
    commitment.SignRemoteCommitmentTx: _remote_commitment,
    commitment.ValidateCommitmentTx: _own_commitment,
    channel.RevokeCommitmentTx: _revocation,
    channel.ValidateRevocation: _peers_revocation,
    commitment.SignCommitmentTx: _publication,
    channel.GetPerCommitmentPoint: _point,
    channel.CheckFutureSecret: _future_secret,
    closing.SignMutualCloseTx: _transaction,
    commitment.SignRemoteHtlcTx: _htlc,
    sweep.SignPenaltyToUs: _htlc,
    commitment.SignLocalHtlcTx: _own_htlc,
    commitment.SignAnyLocalHtlcTx: _own_htlc,
    onchain.SignSpliceTx: _transaction,
    onchain.SignWithdrawal: _wallet,
    onchain.SignAnchorspend: _wallet,
    onchain.SignHtlcTxMingle: _wallet,
    **dict.fromkeys(
        (
            sweep.SignDelayedPaymentToUs,
            sweep.SignRemoteHtlcToUs,
            sweep.SignAnyDelayedPaymentToUs,
            sweep.SignAnyRemoteHtlcToUs,
            sweep.SignAnyPenaltyToUs,
        ),
        _transaction,
    ),
    channel.SetupChannel: _setup,
    channel.LockOutpoint: _funding,
    channel.CheckOutpoint: _funding,
    payments.SignInvoice: _invoice,
    payments.SignBolt12: _bolt12,
    payments.SignBolt12V2: _bolt12,
    payments.SignOptionWillFundOffer: _lease,
    payments.PreapproveInvoice: _approval,
    payments.PreapproveInvoiceCheck: _approval,
    payments.PreapproveKeysend: _keysend,
    payments.PreapproveKeysendCheck: _keysend,
    identity.DeriveSecret: _label,
    identity.CheckPubKey: _index,
    identity.CheckBip86PubKey: _index,
    session.Init: _init,
    session.ClientHsmfd: _client,
}

WITHOUT_FACTS: frozenset[type[Any]] = frozenset(
    {
        # The channel is all that there is to say, and the record has it.
        channel.NewChannel,
        channel.ForgetChannel,
        channel.GetChannelBasepoints,
        sweep.GetOutputScriptpubkey,
        # Nothing happens.
        session.Ping,
        session.NodeInfo,
        session.GetHeartbeat,
        session.DevMemleak,
        session.DevPreinit,
        # A point of somebody's; and messages to the whole world, of which the digest says which.
        identity.Ecdh,
        gossip.CannouncementSig,
        gossip.SignAnyCannouncement,
        gossip.CupdateSig,
        gossip.NodeAnnouncementSig,
        gossip.SignGossipMessage,
        # Refused on a hosted node.
        identity.SignMessage,
        identity.Bip137SignMessage,
    }
)
"""Messages whose record says nothing beyond type, channel and digest (a test finds one that is nowhere)."""


def _txid(raw: bytes) -> bytes:
    """Of a transaction that mostly comes without witnesses: then it need not be parsed. As hashed."""
    if raw[4:6] == b"\x00\x01":
        return Transaction.parse(raw).txid
    return hashlib.sha256(hashlib.sha256(raw).digest()).digest()


def _shown(txid: bytes) -> str:
    return txid[::-1].hex()
