"""Requests that sign a wallet's inputs, and the state of the channels around them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from signerd.core.handlers import onchain
from signerd.core.handlers.call import Call
from signerd.core.handlers.composing import Composer
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.node import NodeKeys
from signerd.core.state.book import Changes, ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.state.loss import Loss
from signerd.core.tx import psbt_fields, script
from signerd.core.tx.commitment import Terms
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.psbt import MAGIC
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import codec, composites
from signerd.core.wire import onchain as wire
from signerd.errors import Refused
from signerd.units import Network, Secret, UnixTime

WALLET_TYPES = frozenset({7, 147, 149})

Pairs = tuple[tuple[bytes, bytes], ...]


class Signing:
    """A signer's keys and state, fed with what else happened to its channels."""

    def __init__(self, secret: bytes | NodeKeys, network: Network, dialect: Dialect) -> None:
        self.keys = secret if isinstance(secret, NodeKeys) else NodeKeys.derive(Secret(secret))
        self.network = network
        self.dialect = dialect
        self.book = MemoryBook()

    @property
    def call(self) -> Call:
        return Call(self.keys, self.network, self.dialect, UnixTime(0), self.book)

    def answer(self, message: Any) -> bytes:
        """The reply's PSBT. Raises Refused and MalformedMessage."""
        reply: Any = onchain.HANDLERS[type(message)](message, self.call).reply
        assert reply.TYPE == codec.REPLY_TYPES[message.TYPE][0]
        psbt: bytes = reply.psbt
        return psbt

    def channel(self, channel_id: ChannelId) -> ChannelState:
        state = self.book.channel(channel_id)
        assert state is not None
        return state

    def put(self, channel_id: ChannelId, channel: ChannelState) -> None:
        self.book.apply(Changes(channels={channel_id: channel}))

    def feed(self, message: Any, channel_id: ChannelId | None) -> None:
        """What a channel's messages change, as far as the wallet's look at it. What is refused, is not."""
        step = {
            19: self._sign,
            31: _set_up,
            35: self._validate,
            36: _take_revocation,
            37: _lock,
            40: _revoke,
        }.get(message.TYPE)
        if step is None or channel_id is None:
            return
        self.channel_id = channel_id
        try:
            self.put(channel_id, step(message, self.book.channel(channel_id) or ChannelState()))
        except Refused:
            return

    def _sign(self, message: Any, channel: ChannelState) -> ChannelState:
        number, point, spent = message.commit_num, message.remote_per_commitment_point, _spent(message)
        terms = self._composer(channel).counterparty(channel.funding(spent), number, point)
        content = _content(message, terms, offering=composites.Side.REMOTE)
        return channel.sign_counterparty(number, point, spent, content, Loss())

    def _validate(self, message: Any, channel: ChannelState) -> ChannelState:
        number, spent = message.commit_num, _spent(message)
        terms = self._composer(channel).holder(channel.funding(spent), number)
        return channel.validate_holder(
            number, spent, _content(message, terms, offering=composites.Side.LOCAL), Loss()
        )

    def _composer(self, channel: ChannelState) -> Composer:
        return Composer(self.call.channel_keys(self.channel_id), channel.ready)


def _set_up(message: Any, channel: ChannelState) -> ChannelState:
    points = message.remote_basepoints
    setup = Setup(
        is_outbound=message.is_outbound,
        push_msat=message.push_value,
        holder_delay=message.local_to_self_delay,
        counterparty_delay=message.remote_to_self_delay,
        holder_shutdown_script=message.local_shutdown_script,
        holder_shutdown_index=message.local_shutdown_wallet_index,
        counterparty=Basepoints(
            message.remote_funding_pubkey,
            points.revocation,
            points.payment,
            points.htlc,
            points.delayed_payment,
        ),
        counterparty_shutdown_script=message.remote_shutdown_script,
        channel_type=message.channel_type,
    )
    outpoint = Outpoint(message.funding_txid, message.funding_txout)
    funding = Funding(outpoint, message.channel_value, message.remote_funding_pubkey)
    return channel.set_up(setup, funding) if channel.setup is None else channel.splice(setup, funding)


def _spent(message: Any) -> Outpoint:
    return Transaction.parse(message.tx.raw).inputs[0].outpoint


def _content(message: Any, terms: Terms, *, offering: composites.Side) -> Content:
    htlcs = tuple(
        Htlc(item.side is offering, item.amount_msat, item.payment_hash, item.cltv_expiry)
        for item in message.htlcs
    )
    terms = terms.with_values_of(Transaction.parse(message.tx.raw))
    return Content(terms.to_broadcaster_sat, terms.to_other_sat, htlcs, message.feerate)


def _take_revocation(message: Any, channel: ChannelState) -> ChannelState:
    return channel.revoke_counterparty(message.revoke_num, message.per_commitment_secret)


def _lock(message: Any, channel: ChannelState) -> ChannelState:
    return channel.lock(Outpoint(message.funding_txid, message.funding_txout))


def _revoke(message: Any, channel: ChannelState) -> ChannelState:
    return channel.revoke_holder(message.commit_num)


def channel_of(context: Mapping[str, Any] | None) -> ChannelId | None:
    """The channel of a recorded context."""
    return ChannelId(bytes.fromhex(context["node_id"]), context["dbid"]) if context else None


# Made requests


@dataclass(frozen=True)
class In:
    """An input and its fields; `utxo` lists it."""

    outpoint: Outpoint
    spent: Output
    fields: Pairs = ()
    sequence: int = 0xFFFF_FFFD
    utxo: composites.Utxo | None = None
    stated: bool = True

    def pairs(self) -> Pairs:
        stated = ((b"\x01", self.spent.serialize()),) if self.stated else ()
        return tuple(sorted((*stated, *self.fields)))


@dataclass(frozen=True)
class Out:
    output: Output
    fields: Pairs = ()


@dataclass(frozen=True)
class Spending:
    """A transaction to be signed; `but` changes one thing of it."""

    inputs: tuple[In, ...]
    outputs: tuple[Out, ...]
    version: int = 2
    locktime: int = 0
    extra: tuple[composites.Utxo, ...] = ()
    also: Pairs = field(default=())

    def but(self, **changes: Any) -> Spending:
        return replace(self, **changes)

    def but_input(self, number: int = 0, **changes: Any) -> Spending:
        changed = replace(self.inputs[number], **changes)
        return replace(self, inputs=(*self.inputs[:number], changed, *self.inputs[number + 1 :]))

    def but_output(self, number: int = 0, **changes: Any) -> Spending:
        changed = replace(self.outputs[number], **changes)
        return replace(self, outputs=(*self.outputs[:number], changed, *self.outputs[number + 1 :]))

    @property
    def tx(self) -> Transaction:
        inputs = tuple(Input(item.outpoint, item.sequence) for item in self.inputs)
        return Transaction(self.version, inputs, tuple(item.output for item in self.outputs), self.locktime)

    def psbt(self) -> bytes:
        maps: list[Pairs] = [((b"\x00", self.tx.without_witnesses()), *self.also)]
        maps += [item.pairs() for item in self.inputs]
        maps += [item.fields for item in self.outputs]
        return MAGIC + b"".join(Map(pairs).serialize() for pairs in maps)

    @property
    def utxos(self) -> tuple[composites.Utxo, ...]:
        return (*(item.utxo for item in self.inputs if item.utxo), *self.extra)

    def withdrawal(self) -> wire.SignWithdrawal:
        return wire.SignWithdrawal(self.utxos, self.psbt())

    def anchorspend(self, channel_id: ChannelId) -> wire.SignAnchorspend:
        return wire.SignAnchorspend(channel_id.peer_id, channel_id.dbid, self.utxos, self.psbt())

    def mingle(self, channel_id: ChannelId) -> wire.SignHtlcTxMingle:
        return wire.SignHtlcTxMingle(channel_id.peer_id, channel_id.dbid, self.utxos, self.psbt())


def listed(
    outpoint: Outpoint, spent: Output, index: int = 0, close: composites.CloseInfo | None = None
) -> composites.Utxo:
    """As lightningd lists an output."""
    return composites.Utxo(
        outpoint.txid, outpoint.index, spent.value, index, False, spent.script, close, False
    )


def wallet_input(keys: NodeKeys, index: int, *, value: int = 100_000, form: Any = script.p2wpkh) -> In:
    """An output of a wallet key, with the whole transaction that made it, as lightningd has it."""
    key = keys.wallet_pubkey(index)
    spent = Output(value, form(key))
    before = Transaction(2, (Input(Outpoint(hashlib.sha256(key).digest(), 0)),), (Output(7, b"\x51"), spent))
    fields: Pairs = ((b"\x00", before.serialize()),)
    if form is script.p2sh_p2wpkh:
        fields += ((b"\x04", script.p2wpkh(key)),)
    outpoint = Outpoint(before.txid, 1)
    return In(outpoint, spent, fields, utxo=listed(outpoint, spent, index))


def origin(keys: NodeKeys, index: int) -> Pairs:
    """How lightningd names an output as its own."""
    key = keys.wallet_pubkey(index)
    return ((b"\x02" + key, Origin(psbt_fields.fingerprint(key), (index,)).serialize()),)


def change(keys: NodeKeys, index: int, value: int) -> Out:
    """A named output to a wallet key."""
    return Out(Output(value, script.p2wpkh(keys.wallet_pubkey(index))), origin(keys, index))
