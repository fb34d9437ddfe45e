"""One channel with a peer who keeps the rules: builds every request for it, and remembers the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from signerd.core.handlers import channel, closing, commitment, composing, sweep
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.handlers.composing import Composer
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.requests import Context
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.tx import fees, htlc_transaction, psbt_fields, script
from signerd.core.tx.commitment import Commitment
from signerd.core.tx.htlc import Htlc as TxHtlc
from signerd.core.tx.psbt import MAGIC
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import channel as channel_wire
from signerd.core.wire import commitment as wire
from signerd.core.wire import composites
from signerd.core.wire.composites import BitcoinSignature, BitcoinTx, Htlc, Side
from signerd.errors import Refused
from signerd.units import Network, Secret, UnixTime

HANDLERS: dict[type[Any], Handler] = {
    kind: handler
    for family in (channel, commitment, closing, sweep)
    for kind, handler in family.HANDLERS.items()
}

STATIC = bytes.fromhex("1000")
ANCHORS = bytes.fromhex("401000")
DBID = 7
DUST = 546
WALLET_INDEX = 5


def hash_of(number: int) -> bytes:
    """A payment hash."""
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def offered(number: int, amount_msat: int, cltv_expiry: int = 500) -> Htlc:
    """We pay."""
    return Htlc(Side.LOCAL, amount_msat, hash_of(number), cltv_expiry)


def received(number: int, amount_msat: int, cltv_expiry: int = 500) -> Htlc:
    """The peer pays."""
    return Htlc(Side.REMOTE, amount_msat, hash_of(number), cltv_expiry)


def psbt_of(
    tx: Transaction,
    spent: Sequence[Output | None],
    *,
    witness_script: bytes | None = None,
    sighash: int | None = None,
    scripts: Sequence[bytes | None] = (),
    origins: dict[int, tuple[bytes, int]] | None = None,
) -> bytes:
    """A PSBT as a node makes it: what is spent and how, the outputs' witness scripts, the origins of ours."""
    whole = Map().put(psbt_fields.GLOBAL_TX, tx.unsigned().serialize())
    inputs = [
        Map() if output is None else Map().put(psbt_fields.IN_WITNESS_UTXO, output.serialize())
        for output in spent
    ]
    if witness_script is not None:
        inputs[0] = inputs[0].put(psbt_fields.IN_WITNESS_SCRIPT, witness_script)
    if sighash is not None:
        inputs[0] = inputs[0].put(psbt_fields.IN_SIGHASH, sighash.to_bytes(4, "little"))
    outputs = []
    for index in range(len(tx.outputs)):
        item = Map()
        if scripts and (witness_script := scripts[index]) is not None:
            item = item.put(psbt_fields.OUT_WITNESS_SCRIPT, witness_script)
        if origins and index in origins:
            key, path = origins[index]
            item = item.put(
                psbt_fields.OUT_ORIGIN, Origin(psbt_fields.fingerprint(key), (path,)).serialize(), key
            )
        outputs.append(item)
    return MAGIC + b"".join(item.serialize() for item in (whole, *inputs, *outputs))


def bitcoin_tx(tx: Transaction, spent: Sequence[Output | None], **more: Any) -> BitcoinTx:
    """As the wire has it."""
    return BitcoinTx(tx.serialize(), psbt_of(tx, spent, **more))


class OneChannel:
    """Our signer's side and the peer's, on one pair of keys.

    Balances are in millisatoshi and do not count HTLCs; the funder's is before the fee.
    """

    def __init__(
        self,
        *,
        channel_type: bytes = ANCHORS,
        is_outbound: bool = True,
        value_sat: int = 1_000_000,
        push_msat: int = 0,
        dialect: Dialect = Dialect.HOSTED,
        network: Network = "regtest",
    ) -> None:
        self.node = NodeKeys.derive(Secret(b"\x21" * 32))
        self.peer = NodeKeys.derive(Secret(b"\x42" * 32))
        self.dialect, self.network = dialect, network
        self.book = MemoryBook()
        self.id = ChannelId(bytes(self.peer.node_id), DBID)
        self.theirs = self.peer.channel(bytes(self.node.node_id), DBID)
        points = self.theirs.basepoints
        self.setup = Setup(
            is_outbound=is_outbound,
            push_msat=push_msat,
            holder_delay=150,
            counterparty_delay=160,
            holder_shutdown_script=b"",
            holder_shutdown_index=None,
            counterparty=points,
            counterparty_shutdown_script=b"",
            channel_type=channel_type,
        )
        self.funding = Funding(Outpoint(b"\x07" * 32, 1), value_sat, points.funding)
        self.feerate = 1000
        given = push_msat if is_outbound else value_sat * 1000 - push_msat
        self.balances = (value_sat * 1000 - given, given)

    # Asking

    @property
    def composer(self) -> Composer:
        return Composer(self.node.channel(self.id.peer_id, self.id.dbid), self.setup)

    @property
    def state(self) -> ChannelState:
        known = self.book.channel(self.id)
        assert known is not None
        return known

    def call(self, *, context: bool = True) -> Call:
        """The surroundings of a request on the channel's own connection, or on the main daemon's."""
        where = Context(self.id.peer_id, self.id.dbid, 0) if context else None
        return Call(self.node, self.network, self.dialect, UnixTime(1_700_000_000), self.book, where)

    def answer(self, message: Any, *, context: bool = True) -> Answer:
        """Nothing is remembered. Raises Refused or MalformedMessage."""
        answer: Answer = HANDLERS[type(message)](message, self.call(context=context))
        return answer

    def ask(self, message: Any, *, context: bool = True) -> Any:
        """The reply; what it changes is remembered."""
        answer = self.answer(message, context=context)
        self.book.apply(answer.changes)
        return answer.reply

    def refusal(self, message: Any, *, context: bool = True) -> str:
        """The rule by which a message is refused."""
        try:
            self.answer(message, context=context)
        except Refused as refused:
            return refused.rule
        raise AssertionError("it was answered")

    # Parameters

    def new(self) -> channel_wire.NewChannel:
        return channel_wire.NewChannel(self.id.peer_id, self.id.dbid)

    def set_up(self, funding: Funding | None = None) -> channel_wire.SetupChannel:
        setup, funding = self.setup, funding or self.funding
        theirs = setup.counterparty
        return channel_wire.SetupChannel(
            is_outbound=setup.is_outbound,
            channel_value=funding.value_sat,
            push_value=setup.push_msat,
            funding_txid=funding.outpoint.txid,
            funding_txout=funding.outpoint.index,
            local_to_self_delay=setup.holder_delay,
            local_shutdown_script=setup.holder_shutdown_script,
            local_shutdown_wallet_index=setup.holder_shutdown_index,
            remote_basepoints=composites.Basepoints(
                theirs.revocation, theirs.payment, theirs.htlc, theirs.delayed
            ),
            remote_funding_pubkey=funding.counterparty_key,
            remote_to_self_delay=setup.counterparty_delay,
            remote_shutdown_script=setup.counterparty_shutdown_script,
            channel_type=setup.channel_type,
        )

    def open(self) -> OneChannel:
        """Up to the point where both sides have signed commitment 0."""
        self.ask(self.new(), context=False)
        self.ask(self.set_up())
        self.ask(self.sign_remote(0))
        self.ask(self.validate(0))
        return self

    def step(self, number: int, htlcs: Sequence[Htlc] = (), balances: tuple[int, int] | None = None) -> None:
        """Both sides go on to commitment `number`."""
        self.balances = balances or self.balances
        self.ask(self.sign_remote(number, htlcs))
        self.ask(self.revocation(number - 1))
        self.ask(self.validate(number, htlcs))
        self.ask(channel_wire.RevokeCommitmentTx(number - 1))

    # Commitments

    def settled(self, htlcs: Sequence[Htlc], *, holder: bool) -> fees.Settled:
        offering = Side.LOCAL if holder else Side.REMOTE
        ours, other = self.balances if holder else self.balances[::-1]
        return fees.settle(
            self.setup.format,
            to_broadcaster_msat=ours,
            to_other_msat=other,
            htlcs=[TxHtlc(h.side is offering, h.amount_msat, h.payment_hash, h.cltv_expiry) for h in htlcs],
            feerate_per_kw=self.feerate,
            dust_limit_sat=DUST,
            broadcaster_funds=self.setup.is_outbound is holder,
        )

    def commitment(
        self, number: int, htlcs: Sequence[Htlc] = (), *, holder: bool, funding: Funding | None = None
    ) -> Commitment:
        """As both sides know it to be."""
        settled = self.settled(htlcs, holder=holder)
        content = Content(settled.to_broadcaster_sat, settled.to_other_sat, settled.htlcs, self.feerate)
        funding = funding or self.funding
        if holder:
            return composing.compose(self.composer.holder(funding, number), content)
        return composing.compose(self.composer.counterparty(funding, number, self.point(number)), content)

    def point(self, number: int) -> bytes:
        return self.theirs.per_commitment_point(number)

    def tx_of(self, composed: Commitment, funding: Funding | None = None) -> BitcoinTx:
        funding = funding or self.funding
        return bitcoin_tx(
            composed.tx,
            [self.composer.funding_output(funding)],
            witness_script=self.composer.funding_script(funding),
            scripts=[item.witness_script for item in composed.outputs],
        )

    def untrimmed(self, htlcs: Sequence[Htlc], *, holder: bool) -> tuple[Htlc, ...]:
        kept = {(h.payment_hash, h.amount_msat) for h in self.settled(htlcs, holder=holder).htlcs}
        return tuple(h for h in htlcs if (h.payment_hash, h.amount_msat) in kept)

    def sign_remote(
        self, number: int, htlcs: Sequence[Htlc] = (), *, funding: Funding | None = None
    ) -> wire.SignRemoteCommitmentTx:
        composed = self.commitment(number, htlcs, holder=False, funding=funding)
        return wire.SignRemoteCommitmentTx(
            tx=self.tx_of(composed, funding),
            remote_funding_key=(funding or self.funding).counterparty_key,
            remote_per_commitment_point=self.point(number),
            option_static_remotekey=True,
            commit_num=number,
            htlcs=self.untrimmed(htlcs, holder=False),
            feerate=self.feerate,
        )

    def validate(
        self, number: int, htlcs: Sequence[Htlc] = (), *, funding: Funding | None = None
    ) -> wire.ValidateCommitmentTx:
        composed = self.commitment(number, htlcs, holder=True, funding=funding)
        digest = self.composer.funding_digest(composed.tx, funding or self.funding)
        sighash = htlc_transaction.sighash_type(self.setup.format)
        point = composed.terms.keys.per_commitment_point
        signatures = []
        for index, output in composed.htlc_outputs():
            tx = htlc_transaction.compose_for(composed, index, feerate_per_kw=self.feerate)
            assert output.witness_script is not None
            signed = Digests(tx).segwit_v0(0, output.witness_script, output.output.value, sighash)
            signatures.append(BitcoinSignature(self.theirs.sign_htlc(signed, point, Nonce.PLAIN), sighash))
        return wire.ValidateCommitmentTx(
            tx=self.tx_of(composed, funding),
            htlcs=self.untrimmed(htlcs, holder=True),
            commit_num=number,
            feerate=self.feerate,
            signature=BitcoinSignature(self.theirs.sign_funding(digest, Nonce.PLAIN), 1),
            htlc_signatures=tuple(signatures),
        )

    def revocation(self, number: int) -> channel_wire.ValidateRevocation:
        return channel_wire.ValidateRevocation(number, self.theirs.release_secret(number))

    def publish(self, number: int, htlcs: Sequence[Htlc] = ()) -> wire.SignCommitmentTx:
        composed = self.commitment(number, htlcs, holder=True)
        return wire.SignCommitmentTx(
            self.id.peer_id, self.id.dbid, self.tx_of(composed), self.funding.counterparty_key, number
        )

    def htlc_tx(self, composed: Commitment, index: int) -> tuple[BitcoinTx, bytes]:
        """The HTLC transaction of an output, and the output's witness script."""
        tx = htlc_transaction.compose_for(composed, index, feerate_per_kw=self.feerate)
        item = composed.outputs[index]
        assert item.witness_script is not None
        keys, delay = composed.terms.keys, composed.terms.to_self_delay
        delayed = script.to_local(
            revocation_key=keys.revocation, delayed_key=keys.delayed, to_self_delay=delay
        )
        request = bitcoin_tx(tx, [item.output], witness_script=item.witness_script, scripts=[delayed])
        return request, item.witness_script

    def remote_htlc(self, number: int, htlcs: Sequence[Htlc], which: int = 0) -> wire.SignRemoteHtlcTx:
        composed = self.commitment(number, htlcs, holder=False)
        tx, witness_script = self.htlc_tx(composed, composed.htlc_outputs()[which][0])
        return wire.SignRemoteHtlcTx(tx, witness_script, self.point(number), self.setup.format.anchors)

    def local_htlc(self, number: int, htlcs: Sequence[Htlc], which: int = 0) -> wire.SignAnyLocalHtlcTx:
        composed = self.commitment(number, htlcs, holder=True)
        tx, witness_script = self.htlc_tx(composed, composed.htlc_outputs()[which][0])
        anchors = self.setup.format.anchors
        return wire.SignAnyLocalHtlcTx(number, tx, witness_script, anchors, 0, self.id.peer_id, self.id.dbid)

    # Checking

    def funding_signature_fits(self, reply: Any, tx: Transaction) -> bool:
        """Whether the reply signs the 2-of-2 for this transaction."""
        digest = self.composer.funding_digest(tx, self.funding)
        ours: Basepoints = self.composer.keys.basepoints
        return reply.signature.sighash == 1 and secp256k1.verify_compact(
            ours.funding, reply.signature.signature, digest
        )
